"""Mask2FormerLoss of transformers on random logits, with the points that it drew: costs, matching, losses and gradients of each layer; and
assignments of scipy. Points are named by what they are for: `in/matching.<layer>.<image>`, `in/candidates.<layer>`, `in/uniform.<layer>`.
Layers are numbered as the model makes them: the auxiliary ones first, the last at the end.
"""
import numpy
import torch
from scipy.optimize import linear_sum_assignment
from transformers import Mask2FormerConfig
from transformers.models.mask2former import modeling_mask2former
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from common import save_case, seeded

POINTS = 20
CLASSES = 5
WEIGHTS = dict(loss_cross_entropy=2.0, loss_mask=5.0, loss_dice=5.0)


def targets(generator: torch.Generator, counts: list[int], size: tuple[int, int]):
    """Masks of a few blobs each, one of a single pixel, and their classes."""
    masks, classes = [], []
    for count in counts:
        fields = torch.nn.functional.interpolate(torch.randn(1, count, 4, 5, generator=generator), size=size, mode="bilinear") if count else torch.zeros(1, 0, *size)
        labels = (fields[0] > 0.2).float()
        if count > 1:
            labels[1] = 0
            labels[1, size[0] // 2, size[1] // 3] = 1
        masks.append(labels)
        classes.append(torch.randint(0, CLASSES, (count,), generator=generator))
    return masks, classes


def criterion_case(name: str, counts: list[int], layers: int, seed: int) -> None:
    generator = seeded(seed)
    config = Mask2FormerConfig(num_labels=CLASSES, train_num_points=POINTS)
    loss = Mask2FormerLoss(config, WEIGHTS)
    queries, size = 4, (6, 9)
    batch = len(counts)
    masks, classes = targets(generator, counts, (12, 18))
    logits = [
        (torch.randn(batch, queries, CLASSES + 1, generator=generator).requires_grad_(),
         (3 * torch.randn(batch, queries, *size, generator=generator)).requires_grad_())
        for _ in range(layers)
    ]
    tensors = {}
    for image in range(batch):
        tensors |= {f"in/masks.{image}": masks[image], f"in/classes.{image}": classes[image]}
    total, drawn = 0, []
    original, matched, costs = torch.rand, [], []

    def recorded(*shape, **_):
        drawn.append(original(*shape, generator=generator))
        return drawn[-1]

    match = loss.matcher.forward

    def matching(*args, **kwargs):
        matched.append(match(*args, **kwargs))
        return matched[-1]

    def assignment(matrix):
        costs.append(matrix.clone())
        return linear_sum_assignment(matrix)

    torch.rand, loss.matcher.forward, modeling_mask2former.linear_sum_assignment = recorded, matching, assignment
    # The last layer first, as upstream.
    order = [layers - 1, *range(layers - 1)]
    auxiliary = [dict(class_queries_logits=c, masks_queries_logits=m) for c, m in logits[:-1]]
    found = loss(logits[-1][1], logits[-1][0], masks, classes, auxiliary)
    torch.rand, modeling_mask2former.linear_sum_assignment = original, linear_sum_assignment
    draws, matrices = iter(drawn), iter(costs)
    for place, layer in enumerate(order):
        for image in range(batch):
            tensors[f"in/matching.{layer}.{image}"] = next(draws)[0]
            rows, columns = matched[place][image]
            tensors |= {f"out/queries.{layer}.{image}": rows, f"out/targets.{layer}.{image}": columns, f"out/costs.{layer}.{image}": next(matrices)}
        tensors |= {f"in/candidates.{layer}": next(draws), f"in/uniform.{layer}": next(draws)}
        for kind, weight in WEIGHTS.items():
            value = found[kind if place == 0 else f"{kind}_{layer}"]
            tensors[f"out/{kind}.{layer}"] = value
            total = total + weight * value
    tensors["out/total"] = total
    flat = [x for pair in logits for x in pair]
    for layer, (c, m) in enumerate(logits):
        tensors |= {f"in/class_logits.{layer}": c, f"in/mask_logits.{layer}": m}
    for i, gradient in enumerate(torch.autograd.grad(total, flat)):
        tensors[f"grad/{'mask' if i % 2 else 'class'}_logits.{i // 2}"] = gradient
    save_case(f"mask2former/{name}", tensors, dict(points=POINTS, layers=layers, images=batch, classes=CLASSES))


def assignments() -> None:
    """Rows that fit, more rows than columns, ties, negative and large costs, forbidden pairs."""
    random = numpy.random.default_rng(7)
    forbidden = random.normal(size=(6, 8))
    forbidden[random.random((6, 8)) < 0.4] = numpy.inf
    matrices = dict(square=random.normal(size=(12, 12)), wide=random.normal(size=(5, 40)), tall=random.normal(size=(40, 7)),
                    ties=random.integers(0, 3, size=(15, 20)).astype(float), constant=numpy.ones((4, 6)),
                    negative=-1e6 * random.random((9, 9)), forbidden=forbidden, one=random.normal(size=(1, 1)),
                    large=random.normal(size=(60, 100)), huge=1e9 * random.normal(size=(20, 24)))
    tensors = {}
    for name, costs in matrices.items():
        rounded = costs.astype(numpy.float32)
        rows, columns = linear_sum_assignment(rounded)
        tensors |= {f"in/{name}": torch.from_numpy(rounded), f"out/{name}.rows": torch.from_numpy(rows), f"out/{name}.columns": torch.from_numpy(columns)}
    save_case("mask2former/assignment", tensors, dict(names=list(matrices)))


if __name__ == "__main__":
    criterion_case("criterion", [3, 2], 3, 41)
    # More targets than queries in one image.
    criterion_case("criterion-crowded", [6, 1], 2, 42)
    # One image without any.
    criterion_case("criterion-empty", [0, 2], 2, 43)
    assignments()
