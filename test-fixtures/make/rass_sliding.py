"""Sliding windows by the released RASS's rule, written from its description: detectron2's ImageList pads the picture at the bottom and the right to
multiples of 8 (SIZE_DIVISIBILITY) with 0 of bytes, black; square windows of the shorter side lie side by side, the last moved back; each level's map
takes a window's features from both its ends divided by the stride and rounded down, and is divided by how many windows covered a place. The features stand
for the model's: maps of the latents' size, resized to the nearest for each level, with the window's own mean in them, so that windows tell.
Sizes at which the rule gives a window's features another size than their place are left out: torch fails there."""
import torch
import torch.nn.functional as F

from common import save_case, seeded

MULTIPLE = 8
STRIDES = dict(res2=4, res3=8, res4=16, res5=32)
# Rows and columns: odd ones, wide and tall, windows of 64, 72, 80 and 96, and a square once it is padded.
SIZES = [(61, 103), (64, 168), (102, 71), (75, 109), (96, 133), (67, 72), (50, 41)]


def features(window: torch.Tensor) -> dict[str, torch.Tensor]:
    latents = F.avg_pool2d(window, 8) + window.mean()
    size = window.shape[-1]
    return {name: F.interpolate(latents, size=(size // stride, size // stride)) * (i + 1) for i, (name, stride) in enumerate(STRIDES.items())}


def sliding(image: torch.Tensor) -> dict[str, torch.Tensor]:
    rows, columns = image.shape[-2:]
    size = min(rows, columns)
    total = {name: torch.zeros(1, 3, rows // stride, columns // stride) for name, stride in STRIDES.items()}
    count = {name: torch.zeros_like(x) for name, x in total.items()}
    for i in range(-(-rows // size)):
        for j in range(-(-columns // size)):
            bottom, right = min((i + 1) * size, rows), min((j + 1) * size, columns)
            top, left = bottom - size, right - size
            for name, found in features(image[..., top:bottom, left:right]).items():
                stride = STRIDES[name]
                place = (..., slice(top // stride, bottom // stride), slice(left // stride, right // stride))
                assert total[name][place].shape == found.shape, (rows, columns, name)
                total[name][place] += found
                count[name][place] += 1
    assert all((x > 0).all() for x in count.values())
    return {name: total[name] / count[name] for name in STRIDES}


def main() -> None:
    tensors, generator = {}, seeded(51)
    for rows, columns in SIZES:
        bytes_ = torch.randint(0, 256, (1, 3, rows, columns), generator=generator, dtype=torch.uint8)
        padded = F.pad(bytes_.float(), (0, -columns % MULTIPLE, 0, -rows % MULTIPLE), value=0.0) / 127.5 - 1
        at = f"{rows}x{columns}"
        tensors[f"in/image.{at}"] = bytes_
        tensors |= {f"out/{name}.{at}": x for name, x in sliding(padded).items()}
    save_case("rass/sliding", tensors, dict(sizes=SIZES))


if __name__ == "__main__":
    main()
