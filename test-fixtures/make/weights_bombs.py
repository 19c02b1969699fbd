"""Pickles of a few kilobytes that would take gigabytes or minutes: copies of copies, many of one thing, long paths.

test-fixtures/hostile/weights-bombs/<case>, and cases.json with the rule and the words of the refusal that each must get.
They are packed archives of torch.save's layout; this script never loads one.
"""
from __future__ import annotations

import json
import pathlib
import pickle
import struct
import zipfile

from weights_hostile import tensor, torch_zip

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "hostile" / "weights-bombs"
HEAD = b"\x80\x02"
DATA = {"archive/data/0": bytes(16)}
cases: dict[str, dict[str, object]] = {}


def put(name: str, pickled: bytes, rule: str, says: str, files: dict[str, bytes] | None = None, inert: tuple[str, ...] = ()) -> None:
    (FOLDER / name).write_bytes(torch_zip(pickled, files, zipfile.ZIP_DEFLATED))
    cases[name] = {"rule": rule, "says": says, "inert": list(inert)}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def short(value: int) -> bytes:
    return b"M" + struct.pack("<H", value)


def copies() -> None:
    """A container of 5,000 values, copied into others again and again."""
    numbers = b"".join(short(i) for i in range(5000))
    sources = {
        "list": b"](" + numbers + b"e",
        "tuple": b"(" + numbers + b"t",
        "set": b"c__builtin__\nset\n](" + numbers + b"e\x85R",
        "dict": b"}(" + numbers + b"u",
        "pairs": b"](" + b"".join(short(i) + b"N\x86" for i in range(5000)) + b"e",
    }
    calls = {
        "list": ("list", "__builtin__", "list"),
        "tuple": ("list", "__builtin__", "tuple"),
        "set": ("list", "__builtin__", "set"),
        "frozenset": ("set", "__builtin__", "frozenset"),
        "list-of-tuple": ("tuple", "__builtin__", "list"),
        "size": ("tuple", "torch", "Size"),
        "dict": ("dict", "__builtin__", "dict"),
        "counter": ("dict", "collections", "Counter"),
        "ordered-dict": ("pairs", "collections", "OrderedDict"),
    }
    for name, (source, module, function) in calls.items():
        known = sources[source] + b"q\x00" + f"c{module}\n{function}\nq\x01".encode()
        put(f"copies-{name}.pt", HEAD + known + b"h\x01h\x00\x85R" * 32_000 + b".", "TooLarge", "in memory")
    known = sources["dict"] + b"q\x00ccollections\ndefaultdict\nq\x01"
    put("copies-defaultdict.pt", HEAD + known + b"h\x01Nh\x00\x86R" * 32_000 + b".", "TooLarge", "in memory")
    known = text("a" * 60_000) + b"q\x00c_codecs\nencode\nq\x01" + text("latin1") + b"q\x02"
    put("copies-bytes.pt", HEAD + known + b"h\x01h\x00h\x02\x86R" * 20_000 + b".", "TooLarge", "in memory")
    put("copies-references.pt", HEAD + b"Nq\x00" + (b"](" + b"h\x00" * 5000 + b"e") * 3000 + b".", "TooLarge", "")


def many() -> None:
    """More of one thing than any checkpoint has."""
    steps = {"dicts": b"}", "lists": b"]", "tuples": b")", "sets": b"\x8f", "appends": b"]Na"}
    for name, step in steps.items():
        put(f"many-{name}.pt", HEAD + step * (20_000_000 // len(step)) + b".", "TooLarge", "")
    put("many-pops.pt", HEAD + b"N0" * 8_000_000 + b"N.", "TooLarge", "steps")
    put("many-lines.pt", HEAD + b"I1\n0" * 2_990_000 + b"N.", "TooLarge", "steps")
    put("many-names.pt", HEAD + b"ctorch\nFloatStorage\n" * 1_000_000 + b".", "TooLarge", "")
    put("many-memos.pt", HEAD + b"N" + b"\x94" * 20_000_000 + b".", "TooLarge", "in memory")
    put("many-integers.pt", HEAD + (b"\x8b\x00\x04\x00\x00" + b"\x7f" * 1024) * 25_000 + b".", "TooLarge", "in memory")
    inert = b"cargparse\nNamespace\nq\x00" + b"h\x00)\x81" * 8_000_000
    put("many-inert.pt", HEAD + inert + b".", "TooLarge", "in memory", inert=("argparse.Namespace",))
    put("many-escapes.pt", HEAD + (b"V" + b"\\u0041" * 5000 + b"\n") * 1000 + b".", "TooLarge", "")
    put("many-bytes.pt", HEAD + b"N." + bytes(34_000_000), "BadZip", "at most 33554432 bytes")


def paths() -> None:
    """Structures that are small until their paths are written out."""
    value = tensor()[len(HEAD) + len(b"}") + len(text("w")) : -len(b"s.")]
    one = HEAD + value + b"q\x000"
    # 90 dicts, each below the next under a name of 60,000 characters; the innermost holds one tensor 3,000 times.
    nested = text("n" * 60_000) + b"q\x010](" + b"h\x00" * 3000 + b"eq\x020" + b"}h\x01h\x02sq\x020" * 90
    put("long-paths.pt", one + nested + b"h\x02.", "TooLarge", "in memory", DATA)
    put("one-tensor-many-paths.pt", one + b"](" + b"h\x00" * 1_000_000 + b"e.", "TooLarge", "in memory", DATA)
    levels = b"".join(b"](" + (b"h" + bytes([i])) * 10 + b"eq" + bytes([i + 1]) + b"0" for i in range(20))
    put("references-of-references.pt", one + levels + b"h\x14.", "TooLarge", "", DATA)
    # Whether a dict holds tensors is asked once for each dict, not for each of its names.
    numbers = b"}(" + b"".join(short(i) + b"N" for i in range(20_000)) + b"uq\x010"
    names = b"}(" + b"".join(text(str(i)) + b"h\x01" for i in range(20_000)) + b"u."
    put("one-dict-many-names.pt", HEAD + numbers + names, "TooLarge", "steps")


def storages() -> None:
    """A storage that is a file of its own, opened for each of the tensors on it; each opening makes 3,000 dicts again."""
    inner = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + HEAD + b"}" * 30_000 + b"."
    persistent = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ."
    inner += HEAD + persistent + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + bytes(16)
    known = b"ctorch.storage\n_load_from_bytes\nq\x01B" + struct.pack("<I", len(inner)) + inner + b"q\x0200"
    known += b"ctorch._utils\n_rebuild_tensor_v2\nq\x030"
    each = b"".join(text(str(i)) + b"h\x03(h\x01h\x02\x85RK\x00K\x04\x85K\x01\x85\x89}tR" for i in range(3000))
    (FOLDER / "storages.pkl").write_bytes(b"\x80\x03" + known + b"}(" + each + b"u.")
    cases["storages.pkl"] = {"rule": "TooLarge", "says": "", "inert": []}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*"):
        old.unlink()
    for make in (copies, many, paths, storages):
        make()
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")
    total = sum(path.stat().st_size for path in FOLDER.glob("*"))
    print(f"hostile/weights-bombs: {len(cases)} files, {total} bytes")


if __name__ == "__main__":
    main()
