"""NIQE by basicsr's own code, whose files are taken out of its source archive: the package itself cannot be installed without torchvision and
OpenCV, of which this metric uses nothing. The model of natural photographs goes into the fixture, too.
"""
import pathlib
import sys
import tempfile
import types

import numpy
import torch

import basicsr_source
from common import save_case, seeded


def main() -> None:
    with basicsr_source.stubbed_packages() as files, tempfile.TemporaryDirectory() as folder:
        basicsr_source.load(files, "basicsr.utils.matlab_functions")
        sys.modules["basicsr.utils"].bgr2ycbcr = basicsr_source.load(files, "basicsr.utils.color_util").bgr2ycbcr
        basicsr_source.load(files, "basicsr.metrics.metric_util")
        niqe = basicsr_source.load(files, "basicsr.metrics.niqe")
        member = files.extractfile("basicsr-1.4.2/basicsr/metrics/niqe_pris_params.npz")
        (pathlib.Path(folder) / "niqe_pris_params.npz").write_bytes(member.read())
        # It looks for the model beside itself.
        niqe.__file__ = str(pathlib.Path(folder) / "niqe.py")
        make(niqe)


def packed(pixels: numpy.ndarray) -> torch.Tensor:
    """Four bytes in a number: the fixtures' own reader knows no bytes."""
    data = pixels.tobytes()
    return torch.from_numpy(numpy.frombuffer(data + b"\0" * (-len(data) % 4), dtype=numpy.int32).copy())


def make(niqe: types.ModuleType) -> None:
    model = numpy.load(pathlib.Path(niqe.__file__).with_name("niqe_pris_params.npz"))
    parts = {key: model[key].astype(numpy.float64) for key in ("mu_pris_param", "cov_pris_param", "gaussian_window")}
    tensors = {f"model/{key}": torch.from_numpy(value) for key, value in parts.items()}
    generator = seeded(81)
    # Smooth fields with some grain: 2 x 2 blocks and a rest, and one row of blocks.
    for name, (height, width) in dict(square=(200, 215), wide=(96, 300)).items():
        coarse = torch.randn(1, 3, 12, 14, generator=generator)
        image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic") * 40 + 120
        image = image + 6 * torch.randn(image.shape, generator=generator)
        pixels = image[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()
        # Blue comes first there.
        score = niqe.calculate_niqe(pixels[:, :, ::-1].copy(), 0)
        tensors |= {f"in/{name}": packed(pixels), f"out/{name}": torch.tensor([score])}
        tensors[f"out/{name}.border"] = torch.tensor([niqe.calculate_niqe(pixels[:, :, ::-1].copy(), 4 if height > 104 else 0)])
    half = niqe.imresize(pixels[:, :, 0].astype(numpy.float64)[:96, :192] / 255, scale=0.5, antialiasing=True)
    tensors["out/half"] = torch.from_numpy(numpy.asarray(half))
    save_case("metrics/niqe", tensors, dict(square=[200, 215], wide=[96, 300]))


main()
