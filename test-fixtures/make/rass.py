"""RASS's feature fusion: each map through the bottleneck residual block of detectron2 (a 1 x 1, a 3 x 3 and a 1 x 1 convolution with group
norms, and a shortcut), those of one stride summed; written here as a torch module with detectron2's names.
"""
import torch
from torch import nn
from torch.nn import functional as F

from common import randomize, save_case, seeded


class ConvNorm(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x):
        return self.norm(super().forward(x))


class BottleneckBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, bottleneck: int, groups: int):
        super().__init__()
        self.conv1 = ConvNorm(inputs, bottleneck, 1, groups)
        self.conv2 = ConvNorm(bottleneck, bottleneck, 3, groups)
        self.conv3 = ConvNorm(bottleneck, outputs, 1, groups)
        self.shortcut = ConvNorm(inputs, outputs, 1, groups) if inputs != outputs else None

    def forward(self, x):
        y = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Fusion(nn.Module):
    def __init__(self, dims: list[int], strides: list[int], outputs: int, bottleneck: int, groups: int):
        super().__init__()
        self.strides = strides
        self.feature_projections = nn.ModuleList(nn.Sequential(BottleneckBlock(d, outputs, bottleneck, groups)) for d in dims)

    def forward(self, maps, size):
        levels = {}
        for x, stride, projection in zip(maps, self.strides, self.feature_projections):
            y = projection(F.interpolate(x, size=(size[0] // stride, size[1] // stride)))
            levels[stride] = levels[stride] + y if stride in levels else y
        return levels


def main() -> None:
    # The fourth map is smaller than its level, and is resized.
    dims, strides, size = [6, 8, 10, 10, 5, 4], [4, 8, 32, 16, 8, 8], (64, 96)
    sizes = [(16, 24), (8, 12), (2, 3), (3, 5), (8, 12), (8, 12)]
    fields = dict(channels=8, bottleneck=4, groups=2)
    model = randomize(Fusion(dims, strides, fields["channels"], fields["bottleneck"], fields["groups"]), 71)
    generator = seeded(71)
    maps = [torch.randn(2, d, *s, generator=generator).requires_grad_() for d, s in zip(dims, sizes)]
    levels = model(maps, size)
    tensors = {f"w/{key}": p for key, p in model.named_parameters()} | {f"in/{i}": x for i, x in enumerate(maps)}
    loss = 0
    for stride, x in levels.items():
        tensors[f"out/{stride}"] = x
        tensors[f"in/factor.{stride}"] = r = torch.randn(x.shape[1], generator=generator)
        loss = loss + (x * r[:, None, None]).square().mean()
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, [*parameters.values(), *maps])
    tensors |= {f"grad/{key}": g for key, g in zip([*parameters, *(f"in.{i}" for i in range(len(maps)))], gradients)}
    save_case("rass/fusion", tensors, dict(dims=dims, strides=strides, size=size, **fields))


if __name__ == "__main__":
    main()
