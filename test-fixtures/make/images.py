"""Writes test-fixtures/images: photographs in the public domain or under CC0, out of Python packages at pinned versions.

Needs pip and Pillow. Run: python images.py
"""

import bz2
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).parent.parent / "images"
LONGER_SIDE = 512
QUALITY = 95

WHEELS = {
    "scikit-image": (["scikit-image==0.26.0", "--python-version", "3.11"], "cp311"),
    "matplotlib": (["matplotlib==3.11.2", "--python-version", "3.11"], "cp311"),
    # The last one that has the raccoon on board.
    "scipy": (["scipy==1.9.3", "--python-version", "3.8"], "cp38"),
}

# Name here, package, file there.
PHOTOGRAPHS = [
    ("astronaut", "scikit-image", "skimage/data/astronaut.png"),
    ("brick", "scikit-image", "skimage/data/brick.png"),
    ("cat", "scikit-image", "skimage/data/chelsea.png"),
    ("coffee", "scikit-image", "skimage/data/coffee.png"),
    ("grass", "scikit-image", "skimage/data/grass.png"),
    ("gravel", "scikit-image", "skimage/data/gravel.png"),
    ("hubble", "scikit-image", "skimage/data/hubble_deep_field.jpg"),
    ("rocket", "scikit-image", "skimage/data/rocket.jpg"),
    ("hopper", "matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    ("raccoon", "scipy", "scipy/misc/face.dat"),
]


def wheel(package: str, folder: Path) -> zipfile.ZipFile:
    arguments, _ = WHEELS[package]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = folder / package
    subprocess.run([*command, *arguments, "--dest", target], check=True)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def photograph(data: bytes, name: str) -> Image.Image:
    if name == "raccoon":
        return Image.fromarray(np.frombuffer(bz2.decompress(data), np.uint8).reshape(768, 1024, 3))
    return Image.open(io.BytesIO(data)).convert("RGB")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels = {package: wheel(package, Path(folder)) for package in WHEELS}
        for name, package, member in PHOTOGRAPHS:
            image = photograph(wheels[package].read(member), name)
            image.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.LANCZOS)
            path = OUT / f"{name}.jpg"
            image.save(path, quality=QUALITY, subsampling=0)
            print(name, image.size, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:12])


if __name__ == "__main__":
    main()
