"""What the scripts of this folder share: fixed seeds, tiny initialisation, and the fixture format.

A fixture is one safetensors file: weights under `w/<checkpoint key>`, inputs under `in/<name>`, expected outputs under
`out/<name>`, expected gradients under `grad/<name>`. The configuration is JSON in the metadata key `config`.
Images are stored as the library under test has them (NCHW); the TypeScript side transposes.
"""
from __future__ import annotations

import json
import pathlib

import torch
from safetensors.torch import save_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
LIMIT = 300_000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomize(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fills every parameter from a seed, norms included, so that no weight is at a special value such as 0 or 1."""
    generator = seeded(seed)
    with torch.no_grad():
        for name, p in sorted(module.named_parameters()):
            if p.dim() > 1:
                fan_in = p[0].numel()
                p.copy_(torch.randn(p.shape, generator=generator) * (1.5 / fan_in**0.5))
            elif name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn(p.shape, generator=generator))
            else:
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return module.eval()


def save_case(name: str, tensors: dict[str, torch.Tensor], config: dict) -> None:
    """Writes test-fixtures/golden/<name>.safetensors; refuses a case over the size limit."""
    path = GOLDEN / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    clean = {k: v.detach().to(torch.float32 if v.is_floating_point() else v.dtype).contiguous() for k, v in tensors.items()}
    save_file(clean, path, metadata={"config": json.dumps(config, sort_keys=True)})
    size = path.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"{name}: {size} bytes; the limit is {LIMIT}: use a smaller configuration")
    print(f"{name}: {size} bytes, {len(clean)} tensors")
