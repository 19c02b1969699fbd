"""Small real files of torch.save in both formats, plain pickles and numpy pickles, each beside what it holds.

test-fixtures/golden/weights/torch/<case>.<extension>, and <case>.safetensors with every tensor as Python sees it.
"""
from __future__ import annotations

import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "weights" / "torch"


def values(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def flat(value: object, path: str = "") -> dict[str, torch.Tensor]:
    """Every tensor of a nest of dicts and lists by its path."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    if isinstance(value, np.ndarray):
        return {path: torch.from_numpy(np.ascontiguousarray(value).astype(value.dtype.newbyteorder("=")))}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    found: dict[str, torch.Tensor] = {}
    for step, child in items:
        found.update(flat(child, f"{path}.{step}" if path else str(step)))
    return found


def write(case: str, extension: str, data: bytes, tensors: object, plain: dict | None = None) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{case}.{extension}").write_bytes(data)
    clean = {key: t.detach().clone().contiguous() for key, t in flat(tensors).items()}
    save_file(clean, FOLDER / f"{case}.safetensors", metadata={"plain": json.dumps(plain or {})})


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def all_dtypes() -> dict[str, torch.Tensor]:
    names = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32",
             "uint64", "bool", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
    tensors = {}
    for seed, name in enumerate(names):
        dtype = getattr(torch, name)
        tensors[name] = (values((2, 3), seed) * 3).abs().to(dtype)
    tensors["int64"] = torch.tensor([2**62 + 1, -(2**53) - 1])
    tensors["uint64"] = torch.tensor([2**64 - 1, 2**53 + 1], dtype=torch.uint64)
    return tensors


def views() -> dict[str, object]:
    """Tensors that share storages, start inside them, and step through them."""
    base = values((4, 6), 7)
    return {
        "base": base,
        "transposed": base.t(),
        "slice": base[1:3],
        "columns": base[:, ::2],
        "permuted": values((2, 3, 4), 8).permute(2, 0, 1),
        "expanded": torch.tensor([1.5]).expand(3, 4),
        "half": values((3, 5), 9, torch.float16).t(),
        "long": torch.arange(12).view(3, 4)[:, 1:3],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "one": values((1, 5, 1), 10).transpose(0, 2),
    }


class Holder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)
        self.tied = self.conv


def module_state(seed: int) -> collections.OrderedDict:
    torch.manual_seed(seed)
    return Holder().state_dict()


def training() -> tuple[dict, dict]:
    """A training checkpoint: a state dict among numbers, lists and an optimizer's state."""
    weight = torch.nn.Parameter(values((2, 2), 3))
    weight.note = "attributes are dropped"
    checkpoint = {
        "state_dict": collections.OrderedDict(weight=weight, bias=torch.nn.Parameter(values((2,), 4))),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": values((2, 2), 5)}}, "param_groups": [{"lr": 1e-4}]},
        "epoch": 3,
        "name": "tiny",
        "shape": torch.Size([2, 2]),
        "betas": (0.9, 0.999),
        "done": True,
        "big": 2**70,
        "none": None,
        "raw": b"\x00\xff",
    }
    return checkpoint, {"epoch": 3, "name": "tiny", "shape": [2, 2], "betas": [0.9, 0.999], "done": True}


def adapter() -> tuple[dict, dict]:
    """The layout of one-step restoration adapters: a rank, lists of module names, a dict of tensors."""
    modules = ["down_blocks.0.attentions.0.to_q", "down_blocks.0.attentions.0.to_k"]
    value = {
        "rank_unet": 4,
        "unet_lora_encoder_modules": modules,
        "unet_lora_decoder_modules": [],
        "state_dict_unet": {f"{m}.lora_A.default.weight": values((4, 8), i) for i, m in enumerate(modules)},
    }
    return value, {"rank_unet": 4, "unet_lora_encoder_modules": modules}


def arrays() -> dict[str, object]:
    """As detection model zoos store them: arrays by name, one level down."""
    rng = np.random.default_rng(3)
    return {
        "model": {
            "stem.weight": rng.standard_normal((3, 2)).astype("f4"),
            "half": rng.standard_normal(4).astype("f2"),
            "count": np.arange(5, dtype="i8"),
            "swapped": np.arange(6, dtype=">f4").reshape(2, 3),
            "fortran": np.asfortranarray(rng.standard_normal((3, 4))),
            "flag": np.array([True, False]),
        },
        "__author__": "someone",
        "matching_heuristics": True,
        "scale": np.float32(1.5),
    }


def python2_arrays() -> bytes:
    """What Python 2 wrote: strings of bytes (BINSTRING) for keys and for the elements."""
    raw = np.arange(4, dtype="<f4").tobytes()
    return (
        b"\x80\x02}q\x00(U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01b\x87q\x05Rq\x06"
        b"(K\x01K\x02K\x02\x86q\x07cnumpy\ndtype\nq\x08U\x02f4K\x00K\x01\x87Rq\x09(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + len(raw).to_bytes(4, "little") + raw + b"tbu."
    )


def repacked(data: bytes, compression: int, change: dict[str, bytes] | None = None) -> bytes:
    """The same zip archive with its files deflated, or with some replaced."""
    source, buffer = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), (change or {}).get(name, source.read(name)), compression)
    return buffer.getvalue()


def big_endian(data: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(data))
    change = {"archive/byteorder": b"big"}
    for name, width in {"archive/data/0": 4, "archive/data/1": 8}.items():
        change[name] = np.frombuffer(source.read(name), f"<u{width}").byteswap().tobytes()
    return repacked(data, zipfile.ZIP_STORED, change)


def zip64(data: bytes) -> bytes:
    """The same archive with every size and offset in its 8-byte form, as archives above 4 GiB have them."""
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    directory, at = b"", start
    for _ in range(count):
        fields = list(struct.unpack_from("<IHHHHHHIIIHHHHHII", data, at))
        name_length, extra_length, comment_length = fields[10:13]
        name = data[at + 46 : at + 46 + name_length]
        extra = struct.pack("<HHHH", 0x7777, 4, 1, 2) + struct.pack("<HHQQQ", 1, 24, fields[9], fields[8], fields[16])
        fields[8] = fields[9] = fields[16] = 0xFFFFFFFF
        fields[11], fields[12] = len(extra), 0
        directory += struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name + extra
        at += 46 + name_length + extra_length + comment_length
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + len(directory), 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 7) + b"comment"
    archive = data[:start] + directory + end64 + locator + last
    assert zipfile.ZipFile(io.BytesIO(archive)).testzip() is None
    return archive


def signs() -> dict[str, torch.Tensor]:
    """Tensors whose sign PyTorch has put off: their storages hold the opposite one."""
    # torch.save refuses views of one storage as several types, so the parts have storages of their own.
    z, parts = (torch.complex(values((2, 3), 20), values((2, 3), 21)) for _ in range(2))
    return {
        "plain": z,
        "conjugate": z.conj(),
        "conjugate_transposed": z.mH,
        "imaginary": parts.conj().imag,
        "real": parts.conj().real,
        "negative": torch._neg_view(values((2, 3), 22)),
        "negative_complex": torch._neg_view(z),
        "negative_conjugate": torch._neg_view(z.conj()),
        "half": torch._neg_view(values((3, 2), 23, torch.float16).t()),
        "bfloat": torch._neg_view(values((4,), 24, torch.bfloat16)),
        "double": torch._neg_view(values((4,), 25, torch.float64)),
    }


def write_signs() -> None:
    resolved = {key: tensor.resolve_conj().resolve_neg() for key, tensor in signs().items()}
    write("signs-zip", "pt", saved(signs()), resolved)
    write("signs-legacy", "pt", saved(signs(), _use_new_zipfile_serialization=False), resolved)
    # A whole number has no sign bit to flip: this one is refused.
    (FOLDER.parent / "torch-refused").mkdir(exist_ok=True)
    (FOLDER.parent / "torch-refused" / "negative-int.pt").write_bytes(saved({"count": torch._neg_view(torch.arange(3))}))


def write_lightning() -> None:
    """As Lightning before 1.6 saves a training: callbacks by their classes, hyper-parameters in a dict of its own."""
    made = {}
    for module, name, base in (("callbacks.model_checkpoint", "ModelCheckpoint", object), ("utilities.parsing", "AttributeDict", dict)):
        path = f"pytorch_lightning.{module}"
        for parent in ("pytorch_lightning", f"pytorch_lightning.{module.split('.')[0]}", path):
            sys.modules.setdefault(parent, types.ModuleType(parent))
        made[name] = type(name, (base,), {"__module__": path})
        setattr(sys.modules[path], name, made[name])
    callbacks = {made["ModelCheckpoint"]: {"monitor": "val/loss", "best_model_path": "last.ckpt", "best_k_models": {}}}
    hyper = made["AttributeDict"](lr=1e-4, widths=[1, 2])
    fields = {"epoch": 3, "global_step": 470000, "pytorch-lightning_version": "1.4.2"}
    file = {**fields, "callbacks": callbacks, "hyper_parameters": hyper, "optimizer_states": [], "state_dict": module_state(3)}
    write("lightning", "ckpt", saved(file), file["state_dict"], fields)


def main() -> None:
    for old in FOLDER.glob("*"):
        old.unlink()
    write_signs()
    write_lightning()
    checkpoint, plain = training()
    lora, lora_plain = adapter()
    for legacy in (False, True):
        options = {"_use_new_zipfile_serialization": not legacy}
        suffix = "legacy" if legacy else "zip"
        write(f"dtypes-{suffix}", "pt", saved(all_dtypes(), **options), all_dtypes())
        write(f"views-{suffix}", "pt", saved(views(), **options), views())
        write(f"module-{suffix}", "pth", saved(module_state(1), **options), module_state(1))
        write(f"training-{suffix}", "pt", saved(checkpoint, **options), checkpoint["state_dict"], plain)
        write(f"adapter-{suffix}", "pkl", saved(lora, **options), lora["state_dict_unet"], lora_plain)
    for protocol in range(3, 6):
        write(f"protocol-{protocol}", "pt", saved(views(), pickle_protocol=protocol), views())
    # Legacy files keep tensors that share a storage as views of it.
    write("protocol-4-legacy", "pt", saved(views(), pickle_protocol=4, _use_new_zipfile_serialization=False), views())
    plain_arrays = {"__author__": "someone", "matching_heuristics": True, "scale": 1.5}
    for protocol in range(0, 6):
        write(f"numpy-{protocol}", "pkl", pickle.dumps(arrays(), protocol), arrays()["model"], plain_arrays)
    write("numpy-python2", "pkl", python2_arrays(), {"w": np.arange(4, dtype="f4").reshape(2, 2)})
    for protocol in (2, 4):
        write(f"plain-{protocol}", "pkl", pickle.dumps(module_state(2), protocol), module_state(2))
    write("deflated", "pt", repacked(saved(views()), zipfile.ZIP_DEFLATED), views())
    write("zip64", "pt", zip64(saved(views())), views())
    pair = {"float": values((2, 3), 1), "long": torch.arange(3) * 2**40}
    write("big-endian", "pt", big_endian(saved(pair)), pair)
    total = sum(path.stat().st_size for path in FOLDER.glob("*"))
    print(f"weights/torch: {len(list(FOLDER.glob('*')))} files, {total} bytes")


if __name__ == "__main__":
    main()
