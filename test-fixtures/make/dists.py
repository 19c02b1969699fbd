"""DISTS written out in PyTorch on VGG16 with a sixteenth of its channels, in float64, for @rass/metrics."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from common import save_case, seeded
from lpips import VGG

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
HANN = torch.hann_window(5, periodic=False, dtype=torch.float64)[1:-1]


def l2_pool(x: torch.Tensor) -> torch.Tensor:
    window = torch.outer(HANN, HANN)
    kernel = (window / window.sum()).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x * x, kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def levels(image: torch.Tensor, w: dict) -> list[torch.Tensor]:
    image = (image + 1) / 2
    x, out = (image - MEAN) / DEVIATION, [image]
    for path, _, _, _, padding, pool, compared in VGG:
        path = path.replace("slice", "stage")
        x = F.relu(F.conv2d(l2_pool(x) if pool else x, w[f"{path}.weight"], w[f"{path}.bias"], padding=padding))
        if compared:
            out.append(x)
    return out


def distance(a: torch.Tensor, b: torch.Tensor, w: dict) -> torch.Tensor:
    structure, texture = [], []
    for x, y in zip(levels(a, w), levels(b, w)):
        mx, my = x.mean((2, 3)), y.mean((2, 3))
        covariance = (x * y).mean((2, 3)) - mx * my
        structure.append((2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6))
        texture.append((2 * covariance + 1e-6) / (x.var((2, 3), correction=0) + y.var((2, 3), correction=0) + 1e-6))
    weights = torch.cat([w["alpha"], w["beta"]], 1).flatten()
    return 1 - (torch.cat(structure + texture, 1) * (weights / weights.sum())).sum(1)


def main() -> None:
    g = seeded(3)
    w, inputs = {}, 3
    for path, channels, *_ in VGG:
        path = path.replace("slice", "stage")
        w[f"{path}.weight"] = torch.randn(channels, inputs, 3, 3, generator=g).double() * (2 / (9 * inputs)) ** 0.5
        w[f"{path}.bias"] = torch.rand(channels, generator=g).double() * 0.3
        inputs = channels
    total = 3 + sum(spec[1] for spec in VGG if spec[-1])
    for name in ("alpha", "beta"):
        w[name] = torch.rand(1, total, 1, 1, generator=g).double()
    a = (torch.rand(2, 3, 23, 25, generator=g).double() * 2 - 1).requires_grad_()
    b = (a.detach() + 0.3 * torch.randn(2, 3, 23, 25, generator=g).double()).clamp(-1, 1).requires_grad_()
    score = distance(a, b, w)
    dy = torch.tensor([1.0, -0.5], dtype=torch.float64)
    grads = torch.autograd.grad((score * dy).sum(), [a, b])
    tensors = {f"w/{k}": v for k, v in w.items()} | {"in/a": a, "in/b": b, "in/dy": dy, "out/distance": score, "grad/a": grads[0], "grad/b": grads[1]}  # fmt: skip
    save_case("metrics/dists", tensors, {})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
