"""Multi-scale deformable attention in transformers' own form, without a kernel of its own, with its three gradients."""
import torch
from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

from common import save_case, seeded


def case(name: str, batch: int, queries: int, heads: int, channels: int, levels: list[tuple[int, int]], points: int, seed: int) -> None:
    generator = seeded(seed)
    pixels = sum(rows * columns for rows, columns in levels)
    value = torch.randn(batch, pixels, heads, channels, generator=generator).requires_grad_()
    # Inside and outside of the maps; some on the border, on a pixel's centre, and far away.
    locations = 1.6 * torch.rand(batch, queries, heads, len(levels), points, 2, generator=generator) - 0.3
    locations[0, 0, 0, 0, 0] = torch.tensor([0.0, 1.0])
    locations[0, 0, 0, 0, -1] = torch.tensor([0.5 / levels[0][1] + 1e-3, 0.5 / levels[0][0] + 1e-3])
    locations[-1, -1, -1, -1, -1] = torch.tensor([40.0, -7.0])
    locations.requires_grad_()
    weights = torch.rand(batch, queries, heads, len(levels), points, generator=generator).requires_grad_()
    out = multi_scale_deformable_attention(value, levels, locations, weights)
    dy = torch.randn(out.shape, generator=generator)
    gradients = torch.autograd.grad(out, [value, locations, weights], dy)
    tensors = {"in/value": value, "in/locations": locations.flatten(3, 4), "in/weights": weights.flatten(3), "in/dy": dy, "out": out}
    tensors |= {f"grad/{key}": g.reshape(tensors[f"in/{key}"].shape) for key, g in zip(("value", "locations", "weights"), gradients)}
    save_case(f"kernels/{name}", tensors, dict(levels=[dict(rows=r, columns=c) for r, c in levels]))


if __name__ == "__main__":
    case("deformable-attention", 2, 11, 3, 8, [(5, 7), (3, 4), (2, 2)], 4, 61)
    # Channels that fill no vector, and so many that they fill several; one level.
    case("deformable-attention-odd", 1, 7, 2, 37, [(4, 3)], 3, 62)
    case("deformable-attention-single", 3, 20, 1, 1, [(6, 5)], 1, 63)
