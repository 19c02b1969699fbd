"""Small image files of every way that colours are stored in, with what Pillow makes of them: profiles converted to sRGB by ImageCms, EXIF's orientation
heeded, transparency laid on white, inks converted; and files that a decoder must refuse."""
from __future__ import annotations

import io
import struct
import zlib

import numpy
import torch
from PIL import Image, ImageCms, ImageOps

from common import save_case
from image_codecs import HEIGHT, WIDTH, orientation, picture, saved

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


# --- ICC profiles, by hand -------------------------------------------------------------------------------------------------------------------

D50 = (0.9642, 1.0, 0.8249)
# Columns of red, green and blue, adapted to D50, and a gamma; the public values of each space.
SPACES = {
    "display-p3": (((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)), 2.4),
    "adobe-rgb": (((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.19921875),
    "prophoto": (((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)), 1.8),
}


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(fixed(each) for each in values)


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def text(value: str) -> bytes:
    return b"text\0\0\0\0" + value.encode() + b"\0"


def description(value: str) -> bytes:
    line = value.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(line)) + line + bytes(4 + 4 + 2 + 1 + 67)


def profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": description("made"), b"cprt": text("CC0"), b"wtpt": xyz(D50), **tags}
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 * 7) + b"".join(fixed(each) for each in D50) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data


def matrix_profile(name: str) -> bytes:
    columns, gamma = SPACES[name]
    tags = {f"{each}XYZ".encode(): xyz(column) for each, column in zip("rgb", columns)}
    return profile(b"RGB ", b"XYZ ", b"mntr", {**tags, **{f"{each}TRC".encode(): curve(gamma) for each in "rgb"}})


def grey_profile() -> bytes:
    return profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": curve(1.0)})


def ink_profile() -> bytes:
    """A press by a table: 2^4 corners in Lab, lut8, a press with warm paper and a bluish black."""
    corners = []
    for c in (0, 1):
        for m in (0, 1):
            for y in (0, 1):
                for k in (0, 1):
                    light = (95 - 35 * c - 45 * m - 8 * y) * (1 - 0.85 * k)
                    a, b = (1 - 0.9 * k) * (-35 * c + 70 * m - 5 * y), (1 - 0.9 * k) * (4 - 45 * c - 5 * m + 85 * y) - 3 * k
                    corners += [round(max(light, 0) * 2.55), round(a + 128), round(b + 128)]
    linear = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + b"".join(fixed(each) for each in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut += linear * 4 + bytes(corners) + linear * 3
    return profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut, b"A2B1": lut})


# --- PNG, by hand: Pillow writes no 16 bits of colours, no interlacing, no few bits of grey --------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(pixels: numpy.ndarray, depth: int) -> bytes:
    """Rows without a filter; values of less than a byte are packed."""
    rows = b""
    for row in pixels.reshape(pixels.shape[0], -1):
        if depth == 16:
            rows += b"\0" + row.astype(">u2").tobytes()
        elif depth == 8:
            rows += b"\0" + row.astype(numpy.uint8).tobytes()
        else:
            bits = ((row[:, None] >> numpy.arange(depth - 1, -1, -1)) & 1).reshape(-1)
            rows += b"\0" + numpy.packbits(bits.astype(numpy.uint8)).tobytes()
    return rows


PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def header(width: int, height: int, depth: int, colours: int, interlaced: bool = False) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, int(interlaced)))


def png(pixels: numpy.ndarray, colours: int, depth: int = 8, interlaced: bool = False, before: bytes = b"") -> bytes:
    height, width = pixels.shape[:2]
    if interlaced:
        raw = b"".join(packed(part, depth) for x, y, dx, dy in PASSES if (part := pixels[y::dy, x::dx]).size)
    else:
        raw = packed(pixels, depth)
    body = header(width, height, depth, colours, interlaced) + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# --- what Pillow makes of them ---------------------------------------------------------------------------------------------------------------

SPACE_OF_MODE = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def colours(image: Image.Image) -> Image.Image:
    """In sRGB, RGB or RGBA."""
    icc = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A") if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info else None
    if image.mode in ("P", "PA", "RGBA"):
        image = image.convert("RGB") if image.mode != "P" or alpha is None else image.convert("RGBA").convert("RGB")
    elif image.mode in ("LA", "1"):
        image = image.convert("L")
    if icc:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if source.profile.xcolor_space == SPACE_OF_MODE[image.mode]:
            image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return image


def reference(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    turned = image.getexif().get(0x0112, 1)
    result = colours(image)
    exif = Image.Exif()
    exif[0x0112] = turned
    result.info.clear()
    result.getexif()[0x0112] = turned
    return ImageOps.exif_transpose(result)


def with_fill(jpeg: bytes) -> bytes:
    """Fill bytes before each marker up to the scan: T.81, B.1.1.2 allows any number."""
    out, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        out += b"\xff\xff\xff" + jpeg[at : at + length]
        at += length
    return out + b"\xff\xff" + jpeg[at:]


def without_adobe(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    return jpeg[:at] + jpeg[at + 16 :]


def as_ycck(jpeg: bytes) -> bytes:
    """The same numbers said to be YCCK: Adobe's transform 2."""
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + b"\x02" + jpeg[at + 1 :]


def many_scans(count: int) -> bytes:
    """A progressive JPEG that goes over its picture again and again."""
    jpeg = saved(picture(1).resize((64, 64)), format="jpeg", progressive=True, quality=50)
    first = jpeg.index(b"\xff\xda")
    end = next(i for i in range(first + 2, len(jpeg)) if jpeg[i] == 0xFF and jpeg[i + 1] in (0xC4, 0xDA))
    return jpeg[:end] + jpeg[first:end] * count + jpeg[end:]


def jpegs(rgb: Image.Image) -> dict[str, bytes]:
    inks = rgb.convert("CMYK")
    ink = saved(inks, format="jpeg", quality=95)
    out = {f"{name}.jpg": saved(rgb, format="jpeg", quality=90, subsampling=i) for i, name in enumerate(["444", "422", "420"])}
    return {
        **out,
        "420-progressive.jpg": saved(rgb, format="jpeg", quality=90, subsampling=2, progressive=True),
        "420-restarts.jpg": saved(rgb, format="jpeg", quality=90, subsampling=2, restart_marker_blocks=1),
        "rgb-transform-0.jpg": saved(rgb, format="jpeg", quality=95, keep_rgb=True),
        "cmyk.jpg": ink,
        "cmyk-without-marker.jpg": without_adobe(ink),
        "ycck.jpg": as_ycck(ink),
        "fill-bytes.jpg": with_fill(out["420.jpg"]),
        "trailing.jpg": out["420.jpg"] + b"a motion picture",
        **{f"{name}.jpg": saved(rgb, format="jpeg", quality=95, subsampling=0, icc_profile=matrix_profile(name)) for name in SPACES},
        "srgb.jpg": saved(rgb, format="jpeg", quality=95, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        "grey-profile.jpg": saved(rgb.convert("L"), format="jpeg", quality=95, icc_profile=grey_profile()),
        "cmyk-profile.jpg": saved(inks, format="jpeg", quality=95, icc_profile=ink_profile()),
        "grey-rgb-profile.jpg": saved(rgb.convert("L"), format="jpeg", quality=95, icc_profile=matrix_profile("display-p3")),
        **{f"orientation-{i}.jpg": saved(rgb, format="jpeg", quality=90, subsampling=2, exif=orientation(i)) for i in range(1, 9)},
    }


def pngs(rgb: Image.Image, alpha: Image.Image) -> dict[str, bytes]:
    pixels = numpy.asarray(rgb).astype(int)
    rgba = numpy.asarray(alpha).astype(int).copy()
    # Colours that nobody is meant to see.
    rgba[:5, :, 3], rgba[:5, :, :3] = 0, (0, 255, 0)
    deep = rgba * 257 - 5 * (rgba > 128)
    grey = numpy.asarray(rgb.convert("L")).astype(int)
    key = pixels.copy()
    key[3:7, 4:9] = (10, 200, 30)
    palette = rgb.quantize(16)
    colour_key = chunk(b"tRNS", struct.pack(">HHH", 10, 200, 30))
    return {
        "rgba.png": png(rgba, RGBA),
        "rgba-16.png": png(deep, RGBA, 16),
        "rgb-16.png": png(deep[..., :3], RGB, 16),
        "grey-alpha.png": png(numpy.stack([grey, rgba[..., 3]], -1), GREY_ALPHA),
        "colour-key.png": png(key, RGB, before=colour_key),
        "palette-alpha.png": saved(palette, format="png", transparency=bytes(range(0, 256, 16))),
        "palette-key.png": saved(palette, format="png", transparency=3),
        **{f"grey-{bits}.png": png(grey >> (8 - bits), GREY, bits) for bits in (1, 2, 4)},
        "interlaced.png": png(pixels, RGB, interlaced=True),
        "interlaced-alpha.png": png(rgba, RGBA, interlaced=True),
        "interlaced-grey-2.png": png(grey >> 6, GREY, 2, interlaced=True),
        **{f"{name}.png": saved(rgb, format="png", icc_profile=matrix_profile(name)) for name in SPACES},
        "display-p3-alpha.png": saved(Image.fromarray(rgba.astype(numpy.uint8), "RGBA"), format="png", icc_profile=matrix_profile("display-p3")),
        "palette-profile.png": saved(palette, format="png", icc_profile=matrix_profile("adobe-rgb")),
        "grey-profile.png": saved(rgb.convert("L"), format="png", icc_profile=grey_profile()),
        **{f"orientation-{i}.png": saved(alpha if i % 2 else rgb, format="png", exif=orientation(i)) for i in range(1, 9)},
    }


def webps(rgb: Image.Image, alpha: Image.Image) -> dict[str, bytes]:
    return {
        "lossy.webp": saved(rgb, format="webp", quality=85),
        "lossless.webp": saved(rgb, format="webp", lossless=True),
        "lossy-alpha.webp": saved(alpha, format="webp", quality=85),
        "lossless-alpha.webp": saved(alpha, format="webp", lossless=True, exact=True),
        "display-p3.webp": saved(rgb, format="webp", lossless=True, icc_profile=matrix_profile("display-p3")),
        **{f"orientation-{i}.webp": saved(rgb, format="webp", lossless=True, exif=orientation(i)) for i in range(1, 9)},
    }


def claiming(jpeg: bytes, width: int, height: int, scan: bool = False) -> bytes:
    """Only the header of a JPEG, of another size."""
    at = next(i for i in range(len(jpeg)) if jpeg[i] == 0xFF and jpeg[i + 1] in (0xC0, 0xC2))
    end = len(jpeg) - 2 if scan else jpeg.index(b"\xff\xda") + 14
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 : end] + b"\xff\xd9"


def hostile(rgb: Image.Image) -> dict[str, bytes]:
    pixels = numpy.asarray(rgb).astype(int)
    good = png(pixels, RGB)
    signature, body = good[:8], good[8:]
    megabytes = zlib.compress(bytes(32 * 2**20), 9)
    one = header(1, 1, 8, RGB)
    end = chunk(b"IEND", b"")
    jpeg = saved(rgb, format="jpeg")
    webp = saved(rgb, format="webp", lossless=True)
    return {
        # A false header in front, which some readers believe.
        "cgbi.png": signature + chunk(b"CgBI", header(1, 1, 8, RGB)[4:21] + bytes(3)) + body,
        "zero.png": signature + header(0, 0, 8, RGB) + chunk(b"IDAT", zlib.compress(b"")) + end,
        "zero-height.png": signature + header(5, 0, 8, RGB) + chunk(b"IDAT", zlib.compress(b"")) + end,
        "no-palette.png": png(numpy.zeros((4, 4), int), PALETTE),
        "profile-bomb.png": signature + one + chunk(b"iCCP", b"a\0\0" + megabytes) + chunk(b"IDAT", zlib.compress(bytes(4))) + end,
        "data-bomb.png": signature + one + chunk(b"IDAT", megabytes) + end,
        "text-bomb.png": signature + one + chunk(b"zTXt", b"a\0\0" + megabytes) + chunk(b"IDAT", zlib.compress(bytes(4))) + end,
        "no-end.png": good[:-12],
        "claims.png": signature + header(9000, 9000, 8, RGB) + chunk(b"IDAT", zlib.compress(bytes(10))) + end,
        "claims.jpg": claiming(jpeg, 9900, 9900),
        "claims-progressive.jpg": claiming(saved(rgb, format="jpeg", progressive=True), 9900, 9900),
        "cut.jpg": jpeg[: len(jpeg) * 2 // 3] + b"\xff\xd9",
        "scans.jpg": many_scans(500),
        "broken-profile.png": saved(rgb, format="png", icc_profile=matrix_profile("prophoto")[:150]),
        "cut.webp": webp[: len(webp) * 2 // 3],
    }


def as_tensor(data: bytes) -> torch.Tensor:
    return torch.tensor(list(data), dtype=torch.uint8)


def main() -> None:
    rgb = picture(1)
    alpha = rgb.copy()
    alpha.putalpha(picture(2).convert("L"))
    files = {**jpegs(rgb), **pngs(rgb, alpha), **webps(rgb, alpha)}
    tensors, transparent = {}, []
    for name, data in files.items():
        result = reference(data)
        tensors[f"in/{name}"] = as_tensor(data)
        if result.mode == "RGBA":
            transparent.append(name)
            tensors[f"out/{name}/alpha"] = torch.from_numpy(numpy.asarray(result.getchannel("A")).copy())
            tensors[f"out/{name}/straight"] = torch.from_numpy(numpy.asarray(result.convert("RGB")).copy())
            result = Image.alpha_composite(Image.new("RGBA", result.size, "white"), result)
        tensors[f"out/{name}"] = torch.from_numpy(numpy.asarray(result.convert("RGB")).copy())
    save_case("images/colours", tensors, dict(files=list(files), transparent=transparent))
    bad = hostile(rgb)
    save_case("images/hostile", {f"in/{name}": as_tensor(data) for name, data in bad.items()}, dict(files=list(bad)))


if __name__ == "__main__":
    main()
