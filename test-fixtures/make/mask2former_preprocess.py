"""What transformers' image processor with Pillow makes of images and label maps: golden/mask2former/inference-preprocess-*.safetensors.
Images are smooth colours with noise from a seed, so that filters and rounding show.
"""
import numpy as np
import torch
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

from common import save_case

# Height and width of each image.
CASES = {
    # Both ways of growing and shrinking; the shorter side decides in one image, the longer in the other.
    "edges": dict(config=dict(size={"shortest_edge": 40, "longest_edge": 60}, size_divisor=32, ignore_index=255,
                              do_reduce_labels=True), images=[(63, 69), (30, 71)]),
    "fixed": dict(config=dict(size={"height": 33, "width": 50}, size_divisor=0, image_mean=[0.1, 0.2, 0.3],
                              image_std=[0.5, 0.6, 0.7], ignore_index=3), images=[(61, 47), (20, 90)]),
    "fitting": dict(config=dict(size={"max_height": 50, "max_width": 64}, size_divisor=8, resample=3, do_normalize=False,
                                ignore_index=0, pad_size={"height": 60, "width": 68}), images=[(41, 37), (67, 103)]),
    "as-is": dict(config=dict(do_resize=False, do_rescale=False, ignore_index=255), images=[(19, 31), (24, 17)]),
    "nearest": dict(config=dict(size={"height": 31, "width": 29}, size_divisor=0, resample=0, rescale_factor=1 / 127.5,
                                ignore_index=255), images=[(61, 47), (20, 90)]),
}
# Sizes of whole images, without the images.
SIZES = [((480, 640), 512, 2048, 32), ((2448, 3264), 800, 1333, 32), ((1000, 333), 640, 1001, 0), ((333, 1000), 640, 1001, 0),
         ((512, 512), 512, 2048, 32), ((37, 1000), 800, 1333, 32), ((4, 8), 5, 5, 0), ((1001, 77), 6, 91, 0)]


def picture(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / random.uniform(2, 9) + random.uniform(0, 6)) * np.cos(y / random.uniform(2, 9)) for _ in range(3)]
    levels = np.stack(waves, -1) * 110 + 128 + random.normal(0, 25, (height, width, 3))
    return np.clip(levels, 0, 255).astype(np.uint8)


def label_map(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    small = random.integers(0, 6, (height // 7 + 1, width // 7 + 1))
    return np.kron(small, np.ones((7, 7), int))[:height, :width].astype(np.uint8)


def as_levels(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.astype(np.int32))


def main() -> None:
    random = np.random.default_rng(7)
    for name, case in CASES.items():
        images = [picture(h, w, random) for h, w in case["images"]]
        maps = [label_map(h, w, random) for h, w in case["images"]]
        instances = {i: 10 + 3 * i for i in range(256)} if name == "fixed" else None
        processor = Mask2FormerImageProcessorPil(**case["config"])
        out = processor.preprocess(images, maps, instances, return_tensors="pt", input_data_format="channels_last")
        tensors = {"out/pixel_values": out["pixel_values"], "out/pixel_mask": out["pixel_mask"].int()}
        for b, (image, labels) in enumerate(zip(images, maps)):
            tensors |= {f"in/image.{b}": as_levels(image), f"in/labels.{b}": as_levels(labels)}
            masks = out["mask_labels"][b]
            # One number a pixel: which mask has it, from 1; 0 none. Padding, which transformers fills with ignore_index, is -1.
            inside = out["pixel_mask"][b].bool()
            assert (masks[:, inside].sum(0) <= 1).all()
            index = (masks * torch.arange(1, masks.shape[0] + 1)[:, None, None]).sum(0)
            tensors[f"out/mask_index.{b}"] = torch.where(inside, index, -1).int()
            tensors[f"out/classes.{b}"] = out["class_labels"][b].int()
        config = dict(processor=case["config"], instances=instances)
        save_case(f"mask2former/inference-preprocess-{name}", tensors, config)
    save_case("mask2former/inference-preprocess-sizes", {"out/sizes": torch.tensor([resized(*s) for s in SIZES], dtype=torch.int32)},
              dict(sizes=SIZES))


def resized(image, shortest, longest, divisor) -> tuple[int, int]:
    processor = Mask2FormerImageProcessorPil(size={"shortest_edge": shortest, "longest_edge": longest})
    out = processor.resize(np.zeros((3, *image), np.uint8), processor.size, size_divisor=divisor)
    return out.shape[-2:]


if __name__ == "__main__":
    main()
