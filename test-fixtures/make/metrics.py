"""Scores by torchmetrics and pycocotools on random label maps, panoptic maps and instances, for @rass/metrics: with ignored pixels, void, crowds,
and classes that nobody has. Boundary IoU is written out on masks eroded step by step; the colour fixes are their formulas in PyTorch."""
from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex, MulticlassPrecision
from torchmetrics.detection import PanopticQuality

from common import save_case, seeded

CLASSES, IGNORE = 6, 255
# Class 4 is in no truth, class 5 nowhere.
SIZES = [(14, 19), (23, 11), (9, 9)]


def blobs(g: torch.Generator, size: tuple[int, int], classes: int, cells: int = 4) -> torch.Tensor:
    """A label map with regions: random labels on a coarse grid."""
    coarse = torch.randint(0, classes, (1, 1, cells, cells), generator=g).float()
    return F.interpolate(coarse, size, mode="nearest")[0, 0].long()


def label_pairs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = seeded(1)
    pairs = []
    for size in SIZES:
        truth = blobs(g, size, 4)
        noise = torch.rand(size, generator=g)
        prediction = torch.where(noise < 0.25, torch.randint(0, 5, size, generator=g), truth)
        truth = torch.where(noise > 0.93, torch.tensor(IGNORE), truth)
        pairs.append((prediction, truth))
    return pairs


def confusion(tensors: dict, config: dict) -> None:
    pairs = label_pairs()
    options = {"num_classes": CLASSES, "ignore_index": IGNORE}
    metrics = {
        "iou": MulticlassJaccardIndex(**options, average="none"),
        "miou": MulticlassJaccardIndex(**options, average="macro"),
        "fwiou": MulticlassJaccardIndex(**options, average="weighted"),
        "accuracy": MulticlassAccuracy(**options, average="none"),
        "pixelAccuracy": MulticlassAccuracy(**options, average="micro"),
        "precision": MulticlassPrecision(**options, average="none"),
        "dice": MulticlassF1Score(**options, average="none"),
    }
    for prediction, truth in pairs:
        for metric in metrics.values():
            metric.update(prediction[None], truth[None])
    config["confusion"] = {name: metric.compute().double().tolist() for name, metric in metrics.items()}
    for i, (prediction, truth) in enumerate(pairs):
        tensors |= {f"labels/{i}/prediction": prediction, f"labels/{i}/truth": truth}


def eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        p = np.pad(mask, 1)
        h, w = mask.shape
        mask = np.min([p[y : y + h, x : x + w] for y in range(3) for x in range(3)], axis=0)
    return mask


def boundaries(config: dict) -> None:
    both, truths, predictions = np.zeros(CLASSES), np.zeros(CLASSES), np.zeros(CLASSES)
    for prediction, truth in label_pairs():
        p, t = prediction.numpy(), truth.numpy()
        steps = max(1, round(0.1 * float(np.hypot(*t.shape))))
        seen = t != IGNORE
        for c in range(CLASSES):
            ours, real = [(m == c) & ~eroded(m == c, steps).astype(bool) & seen for m in (p, t)]
            both[c] += (ours & real).sum()
            truths[c] += real.sum()
            predictions[c] += ours.sum()
    union = truths + predictions - both
    config["boundary"] = [b / u if u else None for b, u in zip(both, union)]


def panoptic(tensors: dict, config: dict) -> None:
    """Against torchmetrics, whose maps hold a category and an instance for each pixel; things 0 and 1, stuff 2 and 3, void 9."""
    g = seeded(2)
    metric = PanopticQuality(things={0, 1}, stuffs={2, 3}, allow_unknown_preds_category=True)
    each = PanopticQuality(things={0, 1}, stuffs={2, 3}, allow_unknown_preds_category=True, return_per_class=True, return_sq_and_rq=True)
    for i, size in enumerate(SIZES):
        category = blobs(g, size, 4, 3)
        instance = torch.where(category < 2, blobs(g, size, 3, 5), 0)
        truth = torch.stack([category, instance], -1)
        noise = torch.rand(size, generator=g)
        guess = torch.where((noise < 0.12)[..., None], torch.stack([blobs(g, size, 4, 6), torch.zeros(size, dtype=torch.long)], -1), truth)
        guess = torch.where((guess[..., :1] >= 2), torch.stack([guess[..., 0], torch.zeros_like(guess[..., 0])], -1), guess)
        truth = torch.where((noise > 0.9)[..., None], torch.tensor([9, 0]), truth)
        metric.update(guess[None], truth[None])
        each.update(guess[None], truth[None])
        tensors |= {f"panoptic/{i}/prediction": guess, f"panoptic/{i}/truth": truth}
    config["panoptic"] = {"pq": metric.compute().double().item(), "perClass": each.compute().double().tolist()}



STATS = ["ap", "ap50", "ap75", "apSmall", "apMedium", "apLarge", "ar1", "ar10", "ar100", "arSmall", "arMedium", "arLarge"]


def rectangle(g: torch.Generator, height: int, width: int, largest: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.uint8)
    h, w = (int(torch.randint(4, largest, (1,), generator=g)) for _ in range(2))
    y, x = int(torch.randint(0, height - h, (1,), generator=g)), int(torch.randint(0, width - w, (1,), generator=g))
    mask[y : y + h, x : x + w] = 1
    mask[y : y + h // 3, x : x + w // 3] = 0
    return mask


def shifted(g: torch.Generator, mask: np.ndarray) -> np.ndarray:
    return np.roll(mask, tuple(int(v) for v in torch.randint(-3, 4, (2,), generator=g)), (0, 1))


def instances(config: dict) -> None:
    g = seeded(3)
    height, width = 130, 150
    images, annotations, found = [], [], []
    for image in range(4):
        images.append({"id": image, "height": height, "width": width})
        for i in range(9):
            mask = rectangle(g, height, width, [20, 60, 120][i % 3])
            category = i % 3 if image else 0
            rle = coco_mask.encode(np.asfortranarray(mask))
            rle["counts"] = rle["counts"].decode()
            crowd = int(i == 4)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category, "segmentation": rle, "area": float(mask.sum()), "iscrowd": crowd})  # fmt: skip
            for copy in range(int(torch.randint(0, 3, (1,), generator=g))):
                guess = coco_mask.encode(np.asfortranarray(shifted(g, mask)))
                guess["counts"] = guess["counts"].decode()
                # Scores on a coarse scale, so that some are equal.
                score = round(float(torch.rand(1, generator=g)), 1)
                wrong = category if copy == 0 else (category + 1) % 4
                found.append({"image_id": image, "category_id": wrong, "segmentation": guess, "score": score})
    with redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": i} for i in range(5)]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    config["instances"] = {"annotations": annotations, "found": [{k: f[k] for k in ("image_id", "category_id", "segmentation", "score")} for f in found], "stats": dict(zip(STATS, evaluation.stats.tolist()))}  # fmt: skip


def colour_fixes(tensors: dict) -> None:
    g = seeded(4)
    content, style = (F.interpolate(torch.rand(1, 3, 8, 10, generator=g), (40, 50), mode="bilinear").mul(255).round() / 255 for _ in range(2))
    content = (content * 0.7 + 0.2 * torch.rand(content.shape, generator=g)).mul(255).round() / 255
    moments = [(t.flatten(2).mean(2)[..., None, None], (t.flatten(2).var(2) + 1e-5).sqrt()[..., None, None]) for t in (content, style)]
    adain = (content - moments[0][0]) / moments[0][1] * moments[1][1] + moments[1][0]

    def low(image: torch.Tensor) -> torch.Tensor:
        k = torch.tensor([0.25, 0.5, 0.25])
        kernel = (k[:, None] * k)[None, None].repeat(3, 1, 1, 1)
        for i in range(5):
            r = 2**i
            image = F.conv2d(F.pad(image, (r, r, r, r), mode="replicate"), kernel, groups=3, dilation=r)
        return image

    wavelet = content - low(content) + low(style)
    for name, value in {"content": content, "style": style, "adain": adain, "wavelet": wavelet}.items():
        tensors[f"colour/{name}"] = (value.clamp(0, 1) * 255)[0].permute(1, 2, 0)


if __name__ == "__main__":
    held: dict[str, torch.Tensor] = {}
    facts: dict = {}
    confusion(held, facts)
    boundaries(facts)
    panoptic(held, facts)
    instances(facts)
    colour_fixes(held)
    save_case("metrics/scores", held, facts)
