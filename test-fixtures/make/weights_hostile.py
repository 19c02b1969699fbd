"""Hostile pickles and PyTorch files: each would run code, take memory without end or crash a careless reader.

test-fixtures/hostile/weights/<case>, and cases.json with the rule and the words of the refusal that each must get.
They are written as bytes; this script never loads one. What they would run is `touch`ing a file in the current folder.
"""
from __future__ import annotations

import io
import json
import pathlib
import pickle
import struct
import zipfile

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "hostile" / "weights"
COMMAND = "touch hostile-was-here"
cases: dict[str, dict[str, str]] = {}


class Call:
    """Pickles as a call of a function by its full name."""

    def __init__(self, function: object, *args: object) -> None:
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


def put(name: str, data: bytes, rule: str, says: str) -> None:
    (FOLDER / name).write_bytes(data)
    cases[name] = {"rule": rule, "says": says}


def call(module: str, name: str, argument: str, protocol: int = 2) -> bytes:
    """A call by hand, for functions that this machine may not have."""
    text = argument.encode()
    if protocol < 2:
        return f"c{module}\n{name}\n(V{argument}\ntR.".encode()
    head = b"\x80" + bytes([protocol])
    body = b"X" + struct.pack("<I", len(text)) + text + b"\x85R."
    if protocol < 4:
        return head + f"c{module}\n{name}\n".encode() + body
    short = lambda s: b"\x8c" + bytes([len(s)]) + s.encode()
    return head + short(module) + short(name) + b"\x93" + body


def torch_zip(pickled: bytes, files: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        entries = {"archive/data.pkl": pickled, "archive/byteorder": b"little", "archive/version": b"3\n", **(files or {})}
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, compression)
    return buffer.getvalue()


def tensor(storage: str = "FloatStorage", key: str = "0", count: int = 4, offset: int = 0, size=(4,), stride=(1,)) -> bytes:
    """A dict of one tensor, as torch.save pickles it."""
    number = lambda n: b"\x8a\x09" + n.to_bytes(9, "little", signed=True)
    numbers = lambda ns: b"(" + b"".join(number(n) for n in ns) + b"t"
    text = lambda s: b"X" + struct.pack("<I", len(s)) + s.encode()
    pid = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key) + text("cpu") + number(count) + b"tQ"
    args = b"(" + pid + number(offset) + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


def calls() -> None:
    """Everything that would run something, in every protocol and by every opcode that imports."""
    for protocol in range(6):
        put(f"os-system-{protocol}.pkl", call("os", "system", COMMAND, protocol), "GlobalRefused", "os.system")
    named = {
        "posix-system": ("posix", "system"), "nt-system": ("nt", "system"), "eval": ("builtins", "eval"), "exec": ("builtins", "exec"),
        "eval-python2": ("__builtin__", "eval"), "getattr": ("builtins", "getattr"), "import": ("builtins", "__import__"), "open": ("builtins", "open"),
        "compile": ("builtins", "compile"), "globals": ("builtins", "globals"), "apply": ("__builtin__", "apply"), "popen": ("os", "popen"),
        "subprocess": ("subprocess", "Popen"), "check-output": ("subprocess", "check_output"), "runpy": ("runpy", "_run_code"), "pty": ("pty", "spawn"),
        "webbrowser": ("webbrowser", "open"), "socket": ("socket", "create_connection"), "urlopen": ("urllib.request", "urlopen"),
        "httplib": ("requests.api", "get"), "shutil": ("shutil", "rmtree"), "sys": ("sys", "exit"), "attrgetter": ("operator", "attrgetter"),
        "methodcaller": ("operator", "methodcaller"), "partial": ("functools", "partial"), "timeit": ("timeit", "timeit"), "bdb": ("bdb", "Bdb"),
        "pdb": ("pdb", "run"), "code": ("code", "interact"), "pip": ("pip", "main"), "ensurepip": ("ensurepip", "_run_pip"), "idlelib": ("idlelib.pyshell", "ModifiedInterpreter"),
        "asyncio": ("asyncio.unix_events", "_UnixSubprocessTransport._start"), "ctypes": ("ctypes", "CDLL"), "importlib": ("importlib", "import_module"),
        "pickle-loads": ("pickle", "loads"), "marshal": ("marshal", "loads"), "dill": ("dill", "loads"), "cloudpickle": ("cloudpickle.cloudpickle", "_builtin_type"),
        "torch-load": ("torch", "load"), "torch-jit": ("torch.jit", "load"), "torch-hub": ("torch.hub", "load"), "torch-serialization": ("torch.serialization", "load"),
        "torch-extension": ("torch.utils.cpp_extension", "load"), "torch-collect": ("torch.utils.collect_env", "run"), "torch-bottleneck": ("torch.utils.bottleneck.__main__", "run_cprofile"),
        "torch-dynamo": ("torch._dynamo.guards", "GuardBuilder.get"), "torch-fx": ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
        "torch-inductor": ("torch._inductor.codecache", "compile_file"), "numpy-load": ("numpy", "load"), "numpy-runstring": ("numpy.testing._private.utils", "runstring"),
        "numpy-f2py": ("numpy.f2py.crackfortran", "getlincoef"), "numpy-exec": ("numpy.core.multiarray", "fromfile"), "codecs-decode": ("_codecs", "decode"),
        "codecs-lookup": ("_codecs", "lookup"), "copyreg": ("copyreg", "add_extension"), "types-code": ("types", "CodeType"), "types-function": ("types", "FunctionType"),
        "type": ("builtins", "type"), "object-newobj": ("argparse", "Namespace"),
        "qualified": ("torch", "_utils.os.system"), "dunder": ("collections", "OrderedDict.__reduce__.__globals__"),
    }
    for name, (module, function) in named.items():
        put(f"{name}.pkl", call(module, function, COMMAND, 4), "GlobalRefused", f"{module}.{function}")
    # Published checkpoints name this class; it is never called.
    put("lightning.pkl", call("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", COMMAND, 4), "ArgumentsRefused", "it is a name and makes nothing")
    put("inst.pkl", f"(V{COMMAND}\nios\nsystem\n.".encode(), "GlobalRefused", "os.system")
    put("obj.pkl", f"(cos\nsystem\nV{COMMAND}\no.".encode(), "GlobalRefused", "os.system")
    put("newobj.pkl", b"\x80\x02cos\nsystem\n" + b"X\x02\x00\x00\x00id\x85\x81.", "GlobalRefused", "os.system")
    put("newobj-ex.pkl", b"\x80\x04cos\nsystem\n" + b"X\x02\x00\x00\x00id\x85}\x92.", "GlobalRefused", "os.system")
    put("in-a-list.pkl", pickle.dumps([{"weights": [1, (2, Call(eval, "1"))]}], 4), "GlobalRefused", "builtins.eval")
    put("dropped.pkl", b"\x80\x02" + call("os", "system", COMMAND)[2:-1] + b"0}.", "GlobalRefused", "os.system")
    put("getattr-chain.pkl", pickle.dumps(Call(getattr, Call(__import__, "os"), "system"), 2), "GlobalRefused", "__builtin__.getattr")
    put("line-break-in-name.pkl", b"\x80\x04\x8c\x03os\n\x8c\x06system\x93.", "GlobalRefused", "os?.system")
    put("long-name.pkl", b"\x80\x04X" + struct.pack("<I", 60000) + b"a" * 60000 + b"\x8c\x01b\x93.", "GlobalRefused", "aaaa")


def references() -> None:
    """Steps that would reach outside the file, or call what is not a name."""
    put("extension-1.pkl", b"\x80\x02\x82\x01.", "OpcodeRefused", "EXT1")
    put("extension-2.pkl", b"\x80\x02\x83\x01\x00.", "OpcodeRefused", "EXT2")
    put("extension-4.pkl", b"\x80\x02\x84\x01\x00\x00\x00.", "OpcodeRefused", "EXT4")
    put("next-buffer.pkl", b"\x80\x05\x97.", "OpcodeRefused", "NEXT_BUFFER")
    put("readonly-buffer.pkl", b"\x80\x05}\x98.", "OpcodeRefused", "READONLY_BUFFER")
    put("persistent.pkl", b"\x80\x02X\x03\x00\x00\x00keyQ.", "PersistentIdRefused", "refers to nothing outside itself")
    put("persistent-0.pkl", b"Pkey\n.", "PersistentIdRefused", "refers to nothing outside itself")
    put("reduce-string.pkl", b"\x80\x02X\x02\x00\x00\x00id)R.", "GlobalRefused", "only imported names make objects")
    put("reduce-storage.pkl", b"\x80\x02ctorch\nFloatStorage\n)R.", "ArgumentsRefused", "torch.FloatStorage")
    put("build-list.pkl", b"\x80\x02]}b.", "ArgumentsRefused", "state is not given to a list")
    put("encode-rot13.pkl", b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "ArgumentsRefused", "the encoding is latin1")
    nested = call("os", "system", COMMAND)
    storage = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(nested)) + nested + b"\x85R"
    put("nested-in-storage.pkl", b"\x80\x03}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x01\x85K\x01\x85\x89}tRs.", "GlobalRefused", "os.system")
    put("numpy-objects.pkl", b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89]tb.", "ArgumentsRefused", "numbers, not objects")


def resources() -> None:
    """Files that are damaged, or small files that claim to be large."""
    put("empty.pkl", b"", "Truncated", "end of the file")
    put("cut-string.pkl", b"\x80\x02X\xff\xff\xff\x7fabc", "Truncated", "end of the file")
    put("cut-bytes.pkl", b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc", "Truncated", "end of the file")
    put("cut-array.pkl", b"\x80\x05\x96" + struct.pack("<Q", 2**63) + b"abc", "Truncated", "end of the file")
    put("negative-length.pkl", b"\x80\x02T\xff\xff\xff\xff.", "BadNumber", "a length is not negative")
    put("long-integer.pkl", b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\x01" * 64, "BadNumber", "an integer has at most")
    put("decimal-integer.pkl", b"L" + b"9" * 20000 + b"L\n.", "BadNumber", "at most 4300 digits")
    put("no-stop.pkl", b"\x80\x02}", "Truncated", "end of the file")
    put("protocol-9.pkl", b"\x80\x09}.", "BadOpcode", "protocols go up to 5")
    put("unknown-step.pkl", b"\x80\x02\xff.", "BadOpcode", "0xff")
    put("empty-stack.pkl", b"\x80\x02.", "BadStack", "empty stack")
    put("no-mark.pkl", b"\x80\x02}u.", "BadStack", "got none")
    put("odd-items.pkl", b"\x80\x02}(K\x01u.", "BadStack", "a dict takes pairs")
    put("no-memo.pkl", b"\x80\x02h\x07.", "BadMemo", "index 7")
    put("marks.pkl", b"\x80\x02" + b"(" * 100001 + b".", "TooLarge", "marks")
    put("trailing.pkl", pickle.dumps({}, 2) + call("os", "system", COMMAND), "BadStructure", "a plain pickle fills its file")
    put("self-holding.pkl", b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "BadStructure", "deep")
    deep = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
    put("deep.pkl", deep, "BadStructure", "deep")
    laughs = b"\x80\x02]q\x00" + b"".join(b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1]) for i in range(40)) + b"."
    put("laughs.pkl", laughs, "TooLarge", "steps")
    put("many-dimensions.pt", torch_zip(tensor(size=(1,) * 65, stride=(1,) * 65), {"archive/data/0": bytes(16)}), "ArgumentsRefused", "up to 64 whole numbers")
    put("long-float.pkl", b"F" + b"1" * 20000 + b"x\n.", "BadNumber", "at most 4300 digits")


def tensors() -> None:
    """Tensors that lie about their storage, and archives that lie about their files."""
    data = {"archive/data/0": bytes(16)}
    put("offset-outside.pt", torch_zip(tensor(offset=1), data), "BadTensor", "a tensor lies inside its storage")
    put("stride-outside.pt", torch_zip(tensor(size=(2, 2), stride=(4, 1)), data), "BadTensor", "a tensor lies inside its storage")
    put("size-enormous.pt", torch_zip(tensor(size=(2**40, 2**20), stride=(0, 0)), data), "BadTensor", "")
    put("expanded-bomb.pt", torch_zip(tensor(size=(2**40,), stride=(0,)), data), "BadTensor", "repeats its storage")
    put("negative-stride.pt", torch_zip(tensor(offset=3, stride=(-1,)), data), "ArgumentsRefused", "whole numbers")
    put("negative-offset.pt", torch_zip(tensor(offset=-1), data), "ArgumentsRefused", "whole offset")
    put("storage-too-long.pt", torch_zip(tensor(count=2**40), data), "BadTensor", "a storage has the bytes of its elements")
    put("storage-missing.pt", torch_zip(tensor(key="7"), data), "BadZip", "archive/data/7")
    put("storage-path.pt", torch_zip(tensor(key="../../etc/passwd"), data), "BadZip", "etc/passwd")
    put("quantized.pt", torch_zip(tensor(storage="QInt8Storage"), data), "GlobalRefused", "torch.QInt8Storage")
    put("system-in-zip.pt", torch_zip(call("os", "system", COMMAND)), "GlobalRefused", "os.system")
    put("byteorder.pt", torch_zip(tensor(), {**data, "archive/byteorder": b"middle"}), "BadStructure", "little or big")
    put("script.pt", torch_zip(tensor(), {**data, "archive/constants.pkl": b"."}), "UnsupportedFormat", "TorchScript")
    bomb = torch_zip(b"\x80\x02}." + bytes(2**21), {}, zipfile.ZIP_DEFLATED)
    at = bomb.index(b"PK\x01\x02")
    put("unpack-bomb.pt", bomb[: at + 24] + struct.pack("<I", 2**31 - 1) + bomb[at + 28 :], "BadZip", "")
    plain = torch_zip(tensor(), data)
    put("no-directory.pt", plain[: plain.index(b"PK\x01\x02")], "BadZip", "directory")
    first = plain.index(b"PK\x01\x02")
    second = plain.index(b"PK\x01\x02", first + 4)
    put("overlap.pt", plain[: second + 42] + plain[first + 42 : first + 46] + plain[second + 46 :], "BadZip", "overlap")
    put("encrypted.pt", plain[: first + 8] + b"\x01" + plain[first + 9 :], "BadZip", "encrypted")
    put("method.pt", plain[: first + 10] + b"\x0c" + plain[first + 11 :], "BadZip", "method 12")
    legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    put("legacy-system.pt", legacy + call("os", "system", COMMAND), "GlobalRefused", "os.system")
    put("legacy-version.pt", legacy.replace(b"M\xe9\x03", b"M\xea\x03"), "UnsupportedFormat", "version 1001")
    in_order = legacy + tensor() + b"\x80\x02](X\x01\x00\x00\x000e."
    put("legacy-cut.pt", in_order + bytes(8), "Truncated", "it may be cut off")
    put("legacy-count.pt", in_order + struct.pack("<q", 2**40) + bytes(16), "BadTensor", "1099511627776 elements")
    put("legacy-key.pt", in_order.replace(b"](X\x01\x00\x00\x000e", b"](X\x01\x00\x00\x007e") + bytes(24), "BadStructure", "is not")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*"):
        old.unlink()
    for make in (calls, references, resources, tensors):
        make()
    (FOLDER / "cases.json").write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")
    total = sum(path.stat().st_size for path in FOLDER.glob("*"))
    print(f"hostile/weights: {len(cases)} files, {total} bytes")


if __name__ == "__main__":
    main()
