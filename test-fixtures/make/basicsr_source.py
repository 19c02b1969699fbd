"""basicsr's own code, whose files are taken out of its source archive: the package itself cannot be installed without torchvision and
OpenCV, of which what is used here needs next to nothing. That little stands here.
"""

import contextlib
import hashlib
import io
import math
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import types

import numpy
import scipy.ndimage

ARCHIVE = "basicsr-1.4.2.tar.gz"
SHA256 = "b89b595a87ef964cda9913b4d99380ddb6554c965577c0c10cb7b78e31301e87"


def archive() -> tarfile.TarFile:
    with tempfile.TemporaryDirectory() as folder:
        # Its set-up program asks for torch, which an isolated build would not have.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=basicsr", "--no-build-isolation"]
        subprocess.run([*pip, f"--dest={folder}", "basicsr==1.4.2"], check=True)
        data = (pathlib.Path(folder) / ARCHIVE).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{ARCHIVE}: another hash than the pinned one")
    return tarfile.open(fileobj=io.BytesIO(data))


def load(files: tarfile.TarFile, name: str) -> types.ModuleType:
    module = sys.modules[name] = types.ModuleType(name)
    source = files.extractfile(f"basicsr-1.4.2/{name.replace('.', '/')}.py").read()
    exec(compile(source, name, "exec"), module.__dict__)
    return module


def stub(name: str, **members: object) -> None:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)


def gaussian_kernel(size: int, sigma: float) -> numpy.ndarray:
    """cv2.getGaussianKernel, for sizes above 7."""
    sigma = sigma if sigma > 0 else 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    values = numpy.array([math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)])
    return (values / values.sum())[:, None]


def rgb_to_grayscale(image, num_output_channels: int = 1):
    """torchvision's."""
    red, green, blue = image.unbind(dim=-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(dim=-3)


@contextlib.contextmanager
def stubbed_packages():
    """What basicsr's files import and hardly use, as long as they are loaded: other libraries would take it for the packages."""
    kept = dict(sys.modules)
    stub("cv2", getGaussianKernel=gaussian_kernel)
    for name in ("basicsr", "basicsr.data", "basicsr.metrics", "basicsr.utils", "torchvision", "torchvision.transforms"):
        stub(name)
    stub("torchvision.transforms.functional_tensor", rgb_to_grayscale=rgb_to_grayscale)
    sys.modules["scipy.ndimage.filters"] = scipy.ndimage
    stub("basicsr.utils.registry", METRIC_REGISTRY=types.SimpleNamespace(register=lambda: lambda function: function))
    try:
        yield archive()
    finally:
        for name in [name for name in sys.modules if name not in kept and name.split(".")[0] in ("cv2", "basicsr", "torchvision")]:
            del sys.modules[name]
