"""The colour changes of SSD as Mask2Former makes them with OpenCV, on draws that are given."""
# requirements: requirements-opencv.txt
from __future__ import annotations

import cv2
import numpy
import torch

from common import save_case

SIDE = 24


def picture() -> numpy.ndarray:
    """Random colours, every grey, and the corners of the cube, where hues change over."""
    random = numpy.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3))
    random[0] = numpy.arange(0, 240, 10)[:, None]
    corners = [[r, g, b] for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 128, 255)]
    random[1] = corners[:SIDE]
    return random.astype(numpy.uint8)


def converted(image: numpy.ndarray, alpha: float = 1, beta: float = 0) -> numpy.ndarray:
    return numpy.clip(image.astype(numpy.float32) * alpha + beta, 0, 255).astype(numpy.uint8)


def changed(image: numpy.ndarray, brightness=None, contrast=None, saturation=None, hue=None, contrastLast=False) -> numpy.ndarray:
    """On blue, green and red, as there; the order of the parts is detectron2's."""
    out = image[..., ::-1].copy()
    if brightness is not None:
        out = converted(out, beta=brightness)
    if contrast is not None and not contrastLast:
        out = converted(out, alpha=contrast)
    if saturation is not None:
        hsv = cv2.cvtColor(out, cv2.COLOR_BGR2HSV)
        hsv[:, :, 1] = converted(hsv[:, :, 1], alpha=saturation)
        out = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if hue is not None:
        hsv = cv2.cvtColor(out, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + hue) % 180
        out = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if contrast is not None and contrastLast:
        out = converted(out, alpha=contrast)
    return out[..., ::-1].copy()


CHANGES = [
    dict(brightness=-20.3),
    dict(contrast=1.37),
    dict(saturation=0.62),
    dict(saturation=1.45),
    dict(hue=17),
    dict(hue=-11),
    dict(brightness=12.5, contrast=0.71, saturation=1.2, hue=5),
    dict(brightness=-31, contrast=1.49, saturation=0.55, hue=-18, contrastLast=True),
]

if __name__ == "__main__":
    image = picture()
    tensors = {"in/image": torch.from_numpy(image)}
    for i, change in enumerate(CHANGES):
        tensors[f"out/{i}"] = torch.from_numpy(changed(image, **change))
    save_case("datasets/colour", tensors, dict(changes=CHANGES))
