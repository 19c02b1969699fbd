"""Small image files of every kind that @rass/images reads, with what Pillow reads in them, and Pillow's resizing of one."""
from __future__ import annotations

import io

import numpy
import torch
from PIL import Image

from common import save_case

WIDTH, HEIGHT = 21, 14


def picture(seed: int) -> Image.Image:
    """Smooth colours with an edge, so that a JPEG of high quality is close."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [numpy.sin(x / 5 + seed), numpy.cos(y / 4 + 2 * seed), numpy.sin((x + y) / 7)]
    pixels = numpy.stack([127 + 90 * each + 30 * (x > 11) for each in waves], -1)
    return Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def main() -> None:
    rgb = picture(1)
    grey16 = (numpy.asarray(rgb.convert("L")).astype(numpy.uint16) * 257 - 100).clip(0).astype(numpy.uint16)
    exact = {
        "rgb.png": saved(rgb, format="png"),
        "grey.png": saved(rgb.convert("L"), format="png"),
        "palette.png": saved(rgb.quantize(200), format="png"),
        "palette-4.png": saved(rgb.quantize(9), format="png", bits=4),
        "palette-2.png": saved(rgb.quantize(4), format="png", bits=2),
        "bilevel.png": saved(rgb.convert("1"), format="png"),
        "lossless.webp": saved(rgb, format="webp", lossless=True),
    }
    exact |= {
        "444.jpg": saved(rgb, format="jpeg", quality=95, subsampling=0),
        "progressive.jpg": saved(rgb, format="jpeg", quality=95, subsampling=0, progressive=True),
        "grey.jpg": saved(rgb.convert("L"), format="jpeg", quality=95),
        "lossy.webp": saved(rgb, format="webp", quality=90),
        **{f"orientation-{i}.jpg": saved(rgb, format="jpeg", quality=95, subsampling=0, exif=orientation(i)) for i in range(1, 9)},
    }
    tensors = {}
    for name, data in exact.items():
        image = Image.open(io.BytesIO(data))
        turned = Image.open(io.BytesIO(data))
        turned = turned.transpose(ORIENTATIONS[turned.getexif().get(0x0112, 1)]) if turned.getexif().get(0x0112, 1) > 1 else turned
        tensors[f"in/{name}"] = torch.tensor(list(data), dtype=torch.uint8)
        tensors[f"out/{name}"] = torch.from_numpy(numpy.asarray(turned.convert("RGB")).copy())
        if name.startswith(("palette", "grey.png")):
            tensors[f"out/numbers/{name}"] = torch.from_numpy(numpy.asarray(image).copy())
    data = saved(Image.fromarray(grey16), format="png")
    tensors["in/grey-16.png"] = torch.tensor(list(data), dtype=torch.uint8)
    tensors["out/grey-16.png"] = torch.from_numpy((grey16 >> 8).astype(numpy.uint8)[:, :, None].repeat(3, 2))
    sizes = [(9, 8), (40, 33), (21, 6)]
    for width, height in sizes:
        for name in ["bilinear", "bicubic"]:
            resized = rgb.resize((width, height), getattr(Image.Resampling, name.upper()))
            tensors[f"out/resized/{name}-{width}x{height}"] = torch.from_numpy(numpy.asarray(resized).copy())
        labels = rgb.convert("L").resize((width, height), Image.Resampling.NEAREST)
        tensors[f"out/resized/nearest-{width}x{height}"] = torch.from_numpy(numpy.asarray(labels).copy())
    save_case("images/codecs", tensors, dict(exact=[*exact, "grey-16.png"], sizes=sizes))


TURN = Image.Transpose
ORIENTATIONS = {
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_270,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_90,
}

if __name__ == "__main__":
    main()
