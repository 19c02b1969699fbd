"""What PyTorch makes of every code of the small floats, and how it rounds float32 values to them.

test-fixtures/golden/weights/dtypes.safetensors: `table/<type>` has the float32 values of all 256 codes; for the 16-bit
types the SHA-256 of all 65,536 values, NaNs as 0, is in the metadata. `values` are float32 values, `code/<type>` their codes.
"""
from __future__ import annotations

import hashlib
import json
import pathlib

import torch
from safetensors.torch import save_file

PATH = pathlib.Path(__file__).resolve().parent.parent / "golden" / "weights" / "dtypes.safetensors"
BYTES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}
WORDS = {"F16": torch.float16, "BF16": torch.bfloat16}


def rounding_cases() -> torch.Tensor:
    """Random values of all magnitudes, and the numbers of each type, the middles between neighbours, and just beside them."""
    generator = torch.Generator().manual_seed(5)
    exponents = torch.randint(-40, 40, (3000,), generator=generator)
    random = torch.randn(3000, generator=generator) * torch.exp2(exponents.float())
    parts = [random, torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 3.4e38, -3.4e38, 1e-45, -1e-45, 65504.0, 65519.99, 65520.0, 65536.0])]
    grids = [torch.arange(256, dtype=torch.uint8).view(dtype).float() for name, dtype in BYTES.items() if name != "F8_E8M0"]
    halves = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.float16).float()
    grids.append(torch.cat([halves[:40], halves[1000:1040], halves[31700:31744]]))
    for grid in grids:
        numbers = grid[grid.isfinite()].unique()
        middles = (numbers[1:] + numbers[:-1]) / 2
        for near in (numbers, middles):
            parts += [near, torch.nextafter(near, torch.tensor(float("inf"))), torch.nextafter(near, torch.tensor(float("-inf")))]
    return torch.cat(parts)


def main() -> None:
    tensors, hashes = {}, {}
    for name, dtype in BYTES.items():
        tensors[f"table/{name}"] = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    for name, dtype in WORDS.items():
        table = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(dtype).float()
        hashes[name] = hashlib.sha256(torch.where(table.isnan(), 0.0, table).numpy().tobytes()).hexdigest()
    values = rounding_cases()
    tensors["values"] = values
    for name, dtype in {**BYTES, **WORDS}.items():
        if name == "F8_E8M0":
            continue
        codes = values.to(dtype)
        tensors[f"code/{name}"] = codes.view(torch.uint8 if name in BYTES else torch.uint16)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, PATH, metadata={"sha256": json.dumps(hashes)})
    print(f"weights/dtypes: {PATH.stat().st_size} bytes, {len(values)} values")


if __name__ == "__main__":
    main()
