"""What the Python package safetensors makes of files, for tests that compare with it.

weights_safetensors.py verdicts BATCH       a line for each file of a batch: OK, or the rule that its error names
weights_safetensors.py contents FILE ...    a line of JSON for each file: its metadata, and each tensor's type, shape and bytes
weights_safetensors.py write FILE           writes a file with every type that the package writes
weights_safetensors.py load FILE            loads with torch; JSON of each tensor's torch type and values
A batch is a run of files, each after its length as 8 little-endian bytes.
"""
import ctypes
import json
import pathlib
import re
import struct
import sys

import safetensors

# The beginnings of the package's messages, and the names of its error's variants.
RULES = {
    "invalid UTF-8 in header": "InvalidHeader",
    "invalid JSON in header": "InvalidHeaderDeserialization",
    "header too large": "HeaderTooLarge",
    "header too small": "HeaderTooSmall",
    "invalid header length": "InvalidHeaderLength",
    "invalid shape, data type, or offset": "TensorInvalidInfo",
    "invalid offset": "InvalidOffset",
    "incomplete metadata": "MetadataIncompleteBuffer",
    "overflow computing": "ValidationOverflow",
    "The slice is slicing": "MisalignedSlice",
}


def verdict(data: bytes) -> str:
    try:
        safetensors.deserialize(data)
        return "OK"
    except safetensors.SafetensorError as error:
        text = re.sub(r"^Error while deserializing: ", "", str(error))
        return next((rule for start, rule in RULES.items() if text.startswith(start)), f"? {text}")
    except BaseException as error:  # a panic of the extension is not an Exception
        return f"crash {type(error).__name__}"


def verdicts(path: str) -> None:
    batch = pathlib.Path(path).read_bytes()
    at = 0
    while at < len(batch):
        (length,) = struct.unpack_from("<Q", batch, at)
        print(verdict(batch[at + 8 : at + 8 + length]))
        at += 8 + length


def contents(*paths: str) -> None:
    for path in paths:
        tensors = {
            name: f"{t['dtype']} [{', '.join(map(str, t['shape']))}] {bytes(t['data']).hex()}"
            for name, t in safetensors.deserialize(pathlib.Path(path).read_bytes())
        }
        with safetensors.safe_open(path, "np") as file:
            print(json.dumps({"metadata": file.metadata() or {}, "tensors": tensors}))


# The package writes these; the two 6-bit types it can only read.
WRITTEN = {"bool": 8, "float4_e2m1fn_x2": 8, "uint8": 8, "int8": 8, "float8_e5m2": 8, "float8_e4m3fn": 8, "float8_e8m0fnu": 8,
           "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "int16": 16, "uint16": 16, "float16": 16, "bfloat16": 16, "int32": 32,
           "uint32": 32, "float32": 32, "complex64": 64, "float64": 64, "int64": 64, "uint64": 64}


def write(path: str) -> None:
    """Every type that the package writes, with bytes that differ from place to place."""
    specs, keep = {}, []
    for place, (dtype, bits) in enumerate(WRITTEN.items()):
        length = 24 * bits // 8
        data = bytes((37 * i + place) % (2 if dtype == "bool" else 251) for i in range(length))
        buffer = ctypes.create_string_buffer(data, length)
        keep.append(buffer)
        specs[f"tensor {dtype}"] = safetensors.TensorSpec(
            dtype=dtype, shape=[2, 3, 4], data_ptr=ctypes.addressof(buffer), data_len=length
        )
    pathlib.Path(path).write_bytes(safetensors.serialize(specs, {"from": "Python"}))


def load(path: str) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    print(json.dumps({k: [str(t.dtype), t.to(torch.complex64).real.double().flatten().tolist()] for k, t in sorted(tensors.items())}))


if __name__ == "__main__":
    {"verdicts": verdicts, "contents": contents, "write": write, "load": load}[sys.argv[1]](*sys.argv[2:])
