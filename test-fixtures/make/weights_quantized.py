# requirements: requirements-mlx.txt
"""What MLX makes of quantized rows: test-fixtures/golden/weights/quantized.safetensors.

`values/<name>` are rows of float32; `<name>/<bits>/<group>/codes`, `scales` and `biases` what mx.quantize gives for them, `values` what
mx.dequantize gives back.
"""
from __future__ import annotations

import pathlib

import mlx.core as mx
import numpy as np

PATH = pathlib.Path(__file__).resolve().parent.parent / "golden" / "weights" / "quantized.safetensors"


def rows() -> dict[str, np.ndarray]:
    """Rows as weights are, and the ends of what may come: one sign only, equal values, zeros, a value far from the others, tiny ones."""
    random = np.random.default_rng(7)
    normal = random.normal(0, 0.05, (3, 128)).astype(np.float32)
    odd = random.normal(0, 1, (8, 128)).astype(np.float32)
    odd[0] = np.abs(odd[0]) + 1
    odd[1] = -np.abs(odd[1])
    odd[2] = 0.25
    odd[3] = 0
    odd[4, 17] = 300
    odd[5] *= 1e-9
    odd[6] = np.round(odd[6] * 4)
    odd[7] = np.where(odd[7] > 0, 1, -1)
    return {"normal": normal, "odd": odd}


def main() -> None:
    tensors: dict[str, mx.array] = {}
    for name, values in rows().items():
        tensors[f"values/{name}"] = mx.array(values)
        for bits in (4, 8):
            for group in (32, 64, 128):
                codes, scales, biases = mx.quantize(mx.array(values), group_size=group, bits=bits)
                at = f"{name}/{bits}/{group}"
                tensors |= {f"{at}/codes": codes, f"{at}/scales": scales, f"{at}/biases": biases}
                tensors[f"{at}/values"] = mx.dequantize(codes, scales, biases, group_size=group, bits=bits)
    mx.save_safetensors(str(PATH), tensors)


if __name__ == "__main__":
    main()
