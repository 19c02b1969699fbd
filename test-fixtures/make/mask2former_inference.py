"""What transformers makes of Mask2Former's logits: golden/mask2former/inference-*.safetensors. Logits are blobs for masks and classes
that stand out, so that there are segments; a case is taken only where no pixel is near a tie and no score or area near its threshold,
since rounding would decide otherwise. Maps are kept as runs: `values` and `counts`, row by row.
"""
from types import SimpleNamespace

import torch
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

from common import save_case, seeded

PROCESSOR = Mask2FormerImageProcessorPil()
# Single precision is good to 1e-6 or so after sums over queries.
CLEAR = 8e-6


def blobs(queries: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Mask logits: high around a centre, low far from it, a little uneven."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    masks = []
    for _ in range(queries):
        cy, cx = torch.rand(2, generator=generator)
        radius = 0.15 + 0.35 * torch.rand(1, generator=generator)
        distance = ((y - cy) ** 2 + (x - cx) ** 2).sqrt()
        uneven = 0.3 * torch.randn(height, width, generator=generator)
        masks.append(5 * torch.tanh(2.5 * (radius - distance) / radius) + uneven)
    return torch.stack(masks)


def outputs(labels: list[list[int]], classes: int, height: int, width: int, seed: int, strength: float = 6.0):
    """One list of wanted classes an image, a class a query; `classes` itself is "no object", -1 nothing in particular."""
    generator = seeded(seed)
    logits = torch.randn(len(labels), len(labels[0]), classes + 1, generator=generator) * 0.7
    for b, image in enumerate(labels):
        for q, label in enumerate(image):
            if label >= 0:
                logits[b, q, label] += strength + torch.rand(1, generator=generator).item()
    masks = torch.stack([blobs(len(labels[0]), height, width, generator) for _ in labels])
    return SimpleNamespace(class_queries_logits=logits, masks_queries_logits=masks)


def on_grid(out) -> torch.Tensor:
    return torch.nn.functional.interpolate(out.masks_queries_logits, size=(384, 384), mode="bilinear", align_corners=False)


def resized(x: torch.Tensor, size) -> torch.Tensor:
    return x if size is None else torch.nn.functional.interpolate(x[None], size=size, mode="bilinear", align_corners=False)[0]


Place = tuple[int, float, float]  # image, and how far down and to the right


def near_ties(scores: torch.Tensor, image: int) -> list[Place]:
    """Where the best of the scores is hardly above the second."""
    if scores.shape[0] < 2:
        return []
    top = scores.topk(2, dim=0).values
    places = ((top[0] - top[1]) < CLEAR * top[0]).nonzero().tolist()
    return [(image, y / scores.shape[1], x / scores.shape[2]) for y, x in places]


def settled(out, troubles):
    """Changes mask logits a little where there is trouble, until there is none."""
    generator = seeded(5)
    masks = out.masks_queries_logits
    height, width = masks.shape[-2:]
    found = troubles(out)
    for _ in range(5000):
        if not found:
            return out
        image, y, x = found[0]
        top, left = max(0, round(y * height) - 2), max(0, round(x * width) - 2)
        patch = masks[image, :, top : top + 4, left : left + 4]
        before = patch.clone()
        patch += 0.05 * torch.randn(patch.shape, generator=generator)
        changed = troubles(out)
        if len(changed) <= len(found):
            found = changed
        else:
            patch.copy_(before)
    raise SystemExit(f"{len(found)} pixels stay near a tie; make the logits stand out more")


def runs(segmentation: torch.Tensor, name: str) -> dict[str, torch.Tensor]:
    values, counts = torch.unique_consecutive(segmentation.flatten().to(torch.int32), return_counts=True)
    return {f"out/{name}.values": values, f"out/{name}.counts": counts.to(torch.int32)}


def inputs(out) -> dict[str, torch.Tensor]:
    return {"in/class_queries_logits": out.class_queries_logits, "in/masks_queries_logits": out.masks_queries_logits}


# --- semantic


SEMANTIC_SIZES = {"grid": None, "small": [(37, 53), (96, 40)], "large": [(400, 300), (389, 420)]}


def semantic_troubles(out) -> list[Place]:
    found = []
    for sizes in SEMANTIC_SIZES.values():
        results = PROCESSOR.post_process_semantic_segmentation(out, sizes, return_segmentation_scores=True)
        for b, r in enumerate(results):
            found += near_ties(r.segmentation_scores, b)
    return found


# detectron2's way: masks at the size of the padded input, cut to the image's own, resized to the picture's.
INPUT, IMAGES, PICTURES = (48, 80), [(48, 61), (33, 80)], [(70, 90), (20, 41)]


def detectron2_scores(out) -> list[torch.Tensor]:
    """The steps of MaskFormer.forward, semantic_inference and sem_seg_postprocess."""
    masks = torch.nn.functional.interpolate(out.masks_queries_logits, size=INPUT, mode="bilinear", align_corners=False)
    scores = torch.einsum("bqc,bqhw->bchw", out.class_queries_logits.softmax(-1)[..., :-1], masks.sigmoid())
    return [resized(s[:, :h, :w], size) for s, (h, w), size in zip(scores, IMAGES, PICTURES)]


def detectron2() -> None:
    def troubles(out) -> list[Place]:
        return [place for b, s in enumerate(detectron2_scores(out)) for place in near_ties(s, b)]

    out = settled(outputs([[0, 3, 1, 4, 5, 2], [2, 2, -1, 0, 5, 4]], 5, 12, 20, 8), troubles)
    tensors = inputs(out)
    for b, scores in enumerate(detectron2_scores(out)):
        tensors |= runs(scores.argmax(0), f"{b}") | {f"out/{b}.scores": scores}
    save_case("mask2former/inference-detectron2", tensors, dict(input=INPUT, images=IMAGES, pictures=PICTURES))


def semantic() -> None:
    out = settled(outputs([[0, 3, 1, 4, 5, 2], [2, 2, -1, 0, 5, 4]], 5, 12, 20, 7), semantic_troubles)
    tensors = inputs(out)
    for name, sizes in SEMANTIC_SIZES.items():
        results = PROCESSOR.post_process_semantic_segmentation(out, sizes, return_segmentation_scores=True)
        for b, r in enumerate(results):
            tensors |= runs(r.segmentation, f"{name}.{b}")
            # Of the large ones every 16th row and column.
            step = 1 if name == "small" else 16
            tensors[f"out/{name}.{b}.scores"] = r.segmentation_scores[:, ::step, ::step]
    save_case("mask2former/inference-semantic", tensors, {"sizes": SEMANTIC_SIZES})


# --- panoptic

# Here fusing makes transformers give an id twice.
PANOPTIC_SEED = 52
PANOPTIC_SIZES = [(61, 47), (384, 512), (20, 30)]
PANOPTIC = {
    "grid": dict(label_ids_to_fuse=set()),
    "unset": dict(target_sizes=PANOPTIC_SIZES),
    "fused": dict(label_ids_to_fuse={0, 2}, target_sizes=PANOPTIC_SIZES),
    "lenient": dict(threshold=0.2, mask_threshold=0.3, overlap_mask_area_threshold=0.1, label_ids_to_fuse={0}),
    "strict": dict(threshold=0.97, mask_threshold=0.9, overlap_mask_area_threshold=0.95, target_sizes=PANOPTIC_SIZES),
}


def panoptic_troubles(out) -> list[Place]:
    found = []
    scores, labels = out.class_queries_logits.softmax(-1).max(-1)
    for name, options in PANOPTIC.items():
        threshold = options.get("threshold", 0.5)
        assert (scores - threshold).abs().min() > 1e-4, name
        for b in range(scores.shape[0]):
            keep = (labels[b] != out.class_queries_logits.shape[-1] - 1) & (scores[b] > threshold)
            if not keep.any():
                continue
            size = options["target_sizes"][b] if "target_sizes" in options else None
            weighed = resized(on_grid(out)[b][keep].sigmoid(), size) * scores[b][keep][:, None, None]
            found += near_ties(weighed, b)
            won = torch.stack([(weighed.argmax(0) == k).sum() for k in range(weighed.shape[0])])
            whole = (weighed >= options.get("mask_threshold", 0.5)).flatten(1).sum(1)
            ratio = (won / whole)[whole > 0]
            assert ((ratio - options.get("overlap_mask_area_threshold", 0.8)).abs() > 3e-3).all(), (name, b, ratio)
    return found


def infos(results) -> list:
    return [[dict(s) for s in r["segments_info"]] for r in results]


def panoptic() -> None:
    # The second image's fused class comes back after other segments; the third has nothing that is sure.
    labels = [[0, 3, 1, 0, 6, 2, 2, -1], [2, 5, 1, 2, 4, 3, 0, 6], [6, 6, 6, -1, 6, -1, 6, 6]]
    out = settled(outputs(labels, 6, 10, 14, PANOPTIC_SEED, 4.0), panoptic_troubles)
    tensors, config = inputs(out), {}
    for name, options in PANOPTIC.items():
        results = PROCESSOR.post_process_panoptic_segmentation(out, **options)
        for b, r in enumerate(results):
            tensors |= runs(r["segmentation"], f"{name}.{b}")
        plain = {k: sorted(v) if isinstance(v, set) else v for k, v in options.items()}
        config[name] = {"options": plain, "segments": infos(results)}
    save_case("mask2former/inference-panoptic", tensors, config)


# --- instance

INSTANCE_SIZES = [(61, 47), (384, 512), (20, 30)]
INSTANCE = {
    "grid": dict(),
    "sized": dict(target_sizes=INSTANCE_SIZES),
    "runs": dict(target_sizes=INSTANCE_SIZES, return_coco_annotation=True),
    "maps": dict(target_sizes=INSTANCE_SIZES, return_binary_maps=True),
    "lenient": dict(threshold=0.05, target_sizes=INSTANCE_SIZES),
    "strict": dict(threshold=0.85),
}
# From 64 classes on torch.topk without order sorts all the same.
INSTANCE_CLASSES = 66


def instance_troubles(out) -> list[Place]:
    masks = on_grid(out)
    for b, scores in enumerate(out.class_queries_logits.softmax(-1)[..., :-1].flatten(1)):
        queries = masks.shape[1]
        top = scores.topk(queries + 1)
        assert (top.values[:-1] - top.values[1:]).min() > 1e-6
        assert torch.equal(scores.topk(queries, sorted=False).values, top.values[:-1])
        chosen = masks[b][top.indices[:-1] // INSTANCE_CLASSES]
        quality = (chosen.sigmoid() * (chosen > 0)).flatten(1).sum(1) / ((chosen > 0).flatten(1).sum(1) + 1e-6)
        for options in INSTANCE.values():
            assert (top.values[:-1] * quality - options.get("threshold", 0.5)).abs().min() > 1e-4
    near = (masks.abs() < 5e-5).nonzero().tolist()
    return [(b, y / 384, x / 384) for b, _, y, x in near]


def instance() -> None:
    # The third image has nothing that is sure.
    labels = [[0, 65, 7, 7, 66, 20], [33, -1, 33, 66, 12, 64], [66, 66, -1, 66, 66, -1]]
    out = settled(outputs(labels, INSTANCE_CLASSES, 10, 14, 2, 7.0), instance_troubles)
    tensors, config = inputs(out), {}
    for name, options in INSTANCE.items():
        results = PROCESSOR.post_process_instance_segmentation(out, **options)
        found = {"options": options, "segments": infos(results)}
        if options.get("return_coco_annotation"):
            found["runs"] = [[[int(n) for n in one] for one in r["segmentation"]] for r in results]
        else:
            for b, r in enumerate(results):
                tensors |= runs(r["segmentation"], f"{name}.{b}")
        config[name] = found
    save_case("mask2former/inference-instance", tensors, config)


if __name__ == "__main__":
    semantic()
    detectron2()
    panoptic()
    instance()
