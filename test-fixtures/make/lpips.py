"""LPIPS written out in PyTorch on AlexNet and VGG16 with a sixteenth of their channels, in float64, for @rass/metrics."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from common import save_case, seeded

# Path, channels, kernel, stride, padding, pooling window before it, whether it is compared.
ALEX = [
    ("slice1.0", 4, 11, 4, 2, 0, True),
    ("slice2.3", 12, 5, 1, 2, 3, True),
    ("slice3.6", 24, 3, 1, 1, 3, True),
    ("slice4.8", 16, 3, 1, 1, 0, True),
    ("slice5.10", 16, 3, 1, 1, 0, True),
]
VGG = [
    (f"slice{g + 1}.{layer}", width, 3, 1, 1, 2 if g and not i else 0, i == len(layers) - 1)
    for g, (width, layers) in enumerate([(4, [0, 2]), (8, [5, 7]), (16, [10, 12, 14]), (32, [17, 19, 21]), (32, [24, 26, 28])])
    for i, layer in enumerate(layers)
]
SHIFT = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
SCALE = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]


def features(image: torch.Tensor, specs: list, w: dict) -> list[torch.Tensor]:
    x = (image - SHIFT) / SCALE
    out = []
    for path, _, _, stride, padding, pool, compared in specs:
        if pool:
            x = F.max_pool2d(x, pool, 2)
        x = F.relu(F.conv2d(x, w[f"net.{path}.weight"], w[f"net.{path}.bias"], stride, padding))
        if compared:
            out.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
    return out


def case(name: str, specs: list, size: tuple[int, int], seed: int) -> None:
    g = seeded(seed)
    w, inputs = {}, 3
    for path, channels, kernel, *_ in specs:
        fan = inputs * kernel * kernel
        w[f"net.{path}.weight"] = torch.randn(channels, inputs, kernel, kernel, generator=g).double() * (2 / fan) ** 0.5
        w[f"net.{path}.bias"] = torch.rand(channels, generator=g).double() * 0.3
        inputs = channels
    for i, (_, channels, *_) in enumerate(s for s in specs if s[-1]):
        w[f"lin{i}.model.1.weight"] = torch.rand(1, channels, 1, 1, generator=g).double()
    a = (torch.rand(2, 3, *size, generator=g).double() * 2 - 1).requires_grad_()
    b = (a.detach() + 0.3 * torch.randn(2, 3, *size, generator=g).double()).clamp(-1, 1).requires_grad_()
    terms = [F.conv2d((x - y) ** 2, w[f"lin{i}.model.1.weight"]).mean((1, 2, 3)) for i, (x, y) in enumerate(zip(features(a, specs, w), features(b, specs, w)))]  # fmt: skip
    distance = sum(terms)
    dy = torch.tensor([1.0, -0.5], dtype=torch.float64)
    grads = torch.autograd.grad((distance * dy).sum(), [a, b])
    tensors = {f"w/{k}": v for k, v in w.items()} | {"in/a": a, "in/b": b, "in/dy": dy, "out/distance": distance, "grad/a": grads[0], "grad/b": grads[1]}
    save_case(f"metrics/lpips-{name}", tensors, {})


if __name__ == "__main__":
    torch.set_num_threads(1)
    case("alex", ALEX, (47, 43), 1)
    case("vgg", VGG, (23, 25), 2)
