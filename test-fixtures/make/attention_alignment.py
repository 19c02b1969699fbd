"""The alignment losses written out in plain PyTorch, sample by sample and tag by tag, for @rass/attention-alignment: values and, by autograd, gradients
by the attention probabilities. In float64. Two samples with different tags, several tokens a tag, two sizes, two layers of one of them,
ignored pixels, a class too small to count at the coarse size, latents that are not square."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from common import save_case, seeded

EPS = 1e-6
LATENTS = (6, 4)
HEADS, TOKENS = 2, 9
LAYERS = {"up_blocks.1.attentions.0.transformer_blocks.0.attn2": (3, 2), "up_blocks.2.attentions.0.transformer_blocks.0.attn2": (6, 4), "up_blocks.2.attentions.1.transformer_blocks.0.attn2": (6, 4)}  # fmt: skip
# Token positions of each tag, and its class.
TAGS = [[[1], [2, 3], [5]], [[1, 2], [4]]]
CLASSES = [[0, 3, 7], [3, 1]]
LABEL_SIZE = (12, 8)


def labels() -> torch.Tensor:
    g = seeded(5)
    maps = torch.full((2, *LABEL_SIZE), 3)
    maps[0, :5, :4] = 0
    maps[0, 8:, 5:] = 255
    # Two pixels: a third of a cell where cells are 2 x 2, less where they are 4 x 4.
    maps[0, 3, 6:8] = 7
    maps[1, :, :3] = 1
    maps[1, 9:, :] = 255
    noise = torch.rand(maps.shape, generator=g)
    maps[noise < 0.05] = 255
    return maps


def masks(label: torch.Tensor, classes: list[int], size: tuple[int, int], resize: str, min_cells: float = 0.5):
    """[L, I], visible [L], valid [I]"""
    onehot = torch.stack([(label == c).double() for c in classes])[None]
    seen = (label != 255).double()[None, None]
    if resize == "nearest":
        m, v = F.interpolate(onehot, size, mode="nearest"), F.interpolate(seen, size, mode="nearest")
    else:
        m, v = F.adaptive_avg_pool2d(onehot, size), F.adaptive_avg_pool2d(seen, size)
        if resize == "any":
            m, v = (m > 0).double(), (v > 0).double()
    m, v = m[0].flatten(1).T, v.flatten()
    valid = (m.sum(0) >= min_cells).double()
    return m * valid, v, valid


def tag_map(layers: list[torch.Tensor], positions: list[int], mean_tokens: bool) -> torch.Tensor:
    """[L]: tokens joined, heads and layers averaged."""
    total = 0
    for layer in layers:
        joined = layer[:, :, positions].sum(-1)
        total = total + (joined / len(positions) if mean_tokens else joined).mean(0)
    return total / len(layers)


def one(kind: str, maps: torch.Tensor, m: torch.Tensor, v: torch.Tensor, valid: torch.Tensor, norm: str, tokens) -> tuple:
    """(area, pixel) of a sample at a size. maps, m [L, I]"""
    n = valid.sum().clamp(min=1)
    if norm == "tags":
        r = maps / (maps.sum(1, keepdim=True) + EPS)
    elif norm == "max":
        r = maps / (maps.max(0, keepdim=True).values + EPS)
    elif norm == "softmax100":
        r = torch.softmax(100 * maps + (valid - 1) * 1e4, 1)
    else:
        r = maps
    area = sum(valid[i] * (1 - (m[:, i] * maps[:, i]).sum() / (v * maps[:, i]).sum()) ** 2 for i in range(len(valid))) / n
    if kind == "token+pixel":
        layers, positions = tokens
        area = 0
        for layer in layers:
            for i, ks in enumerate(positions):
                for k in ks:
                    share = ((m[:, i] * layer[:, :, k]).sum(1) / (v * layer[:, :, k]).sum(1)).mean()
                    area = area + valid[i] * (1 - share) ** 2 / len(ks) / n / len(layers)
    pixel = 0
    if kind in ("area", "area+ce"):
        pixel = -(m * torch.log(r + EPS)).sum() / v.sum()
    for i in range(len(valid)):
        if kind in ("bce", "token+pixel"):
            bce = -(m[:, i] * torch.log(r[:, i] + EPS) + (1 - m[:, i]) * torch.log(1 - r[:, i] + EPS))
            pixel = pixel + valid[i] * (bce * v).sum() / v.sum() / n
        if kind == "mse_max":
            pixel = pixel + valid[i] * ((r[:, i] - m[:, i]) ** 2 * v).sum() / v.sum() / n
        if kind == "balanced_l1":
            outside = (v - m[:, i]).clamp(min=0)
            pixel = pixel + valid[i] * ((outside * r[:, i]).sum() / outside.sum() - (m[:, i] * r[:, i]).sum() / m[:, i].sum().clamp(min=EPS)) / n
        if kind == "dice":
            shown = r[:, i] * v
            pixel = pixel + valid[i] * (1 - 2 * (m[:, i] * shown).sum() / (m[:, i].sum() + shown.sum() + EPS)) / n
    return area, pixel


def loss(kind: str, attention: dict, norm: str, resize: str, mean_tokens: bool = False, per_head: bool = False):
    label = labels()
    sizes = sorted(set(LAYERS.values()), reverse=True)
    areas, pixels = [], []
    for size in sizes:
        names = [k for k, v in LAYERS.items() if v == size]
        samples = []
        for b in range(2):
            m, v, valid = masks(label[b], CLASSES[b], size, resize)
            layers = [attention[k][b] for k in names]
            groups = [[layer[h : h + 1]] for layer in layers for h in range(HEADS)] if per_head else [layers]
            for group in groups:
                maps = torch.stack([tag_map(group, ks, mean_tokens) for ks in TAGS[b]], 1)
                samples.append(one(kind, maps, m, v, valid, norm, (group, TAGS[b])))
        areas.append(sum(a for a, _ in samples) / len(samples))
        pixels.append(sum(p for _, p in samples) / len(samples))
    return sum(areas) / len(areas), sum(pixels) / len(pixels)


# Each: kind, area and pixel weight, whole weight, norm, mask resize, further options.
CASES = {
    "area+ce": ("area+ce", 1, 0.1, 1, "tags", "area", {}),
    "area": ("area", 1, 0, 1, "tags", "area", {}),
    "token+pixel": ("token+pixel", 1e-3, 5e-5, 1, "none", "any", {}),
    "bce": ("bce", 0, 1, 0.1, "tags", "area", {}),
    "mse_max": ("mse_max", 0, 1, 1e-2, "max", "nearest", {}),
    "balanced_l1": ("balanced_l1", 0, 1, 1e-3, "none", "area", {}),
    "dice": ("dice", 0, 1, 0.1, "tags", "area", {}),
    "area+ce-heads": ("area+ce", 1, 0.1, 1, "tags", "area", {"per_head": True}),
    "area+ce-mean": ("area+ce", 1, 0.1, 1, "tags", "area", {"mean_tokens": True}),
    "dice-softmax": ("dice", 0, 1, 0.1, "softmax100", "area", {}),
}


if __name__ == "__main__":
    g = seeded(7)
    attention = {}
    for name, (h, w) in LAYERS.items():
        scores = 1.5 * torch.randn(2, HEADS, h * w, TOKENS, generator=g).double()
        attention[name] = torch.softmax(scores, -1).requires_grad_()
    tensors = {f"in/{k}": v for k, v in attention.items()} | {"in/labels": labels()}
    for name, (kind, area_weight, pixel_weight, weight, norm, resize, extra) in CASES.items():
        area, pixel = loss(kind, attention, norm, resize, **extra)
        total = weight * (area_weight * area + pixel_weight * pixel)
        grads = torch.autograd.grad(total, list(attention.values()))
        tensors |= {f"out/{name}/loss": total, f"out/{name}/area": area, f"out/{name}/pixel": torch.as_tensor(pixel)}
        tensors |= {f"grad/{name}/{k}": v for k, v in zip(attention, grads)}
    for resize in ["area", "nearest", "any"]:
        for size in [(6, 4), (3, 2), (5, 3)]:
            m, v, valid = masks(labels()[0], CLASSES[0], size, resize)
            at = f"masks/{resize}/{size[0]}x{size[1]}"
            tensors |= {f"{at}/masks": m, f"{at}/visible": v, f"{at}/valid": valid}
    config = {"latents": LATENTS, "tags": TAGS, "classes": CLASSES, "labels": LABEL_SIZE}
    save_case("attention-alignment/losses", {k: v.detach() for k, v in tensors.items()}, config)
