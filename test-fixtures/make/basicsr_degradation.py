"""Real-ESRGAN's degradation by basicsr's own functions, for numbers that were drawn before: a record of @rass/degradation."""

import types

import numpy
import torch
import torch.nn.functional as F

import basicsr_source


class Degradation:
    def __init__(self) -> None:
        with basicsr_source.stubbed_packages() as files:
            self.draws: types.ModuleType = basicsr_source.load(files, "basicsr.data.degradations")
            self.images: types.ModuleType = basicsr_source.load(files, "basicsr.utils.img_process_util")
            self.jpeger = basicsr_source.load(files, "basicsr.utils.diffjpeg").DiffJPEG(differentiable=False)
        self.usm = self.images.USMSharp()

    def kernel(self, record: dict) -> numpy.ndarray:
        size, kind = record["size"], record["kind"]
        if kind == "sinc":
            return self.draws.circular_lowpass_kernel(record["cutoff"], size)
        numbers = [size, record["sigmaX"], record["sigmaY"], record["angle"]]
        isotropic = "aniso" not in kind
        if kind.startswith("generalized"):
            return self.draws.bivariate_generalized_Gaussian(*numbers, record["shape"], isotropic=isotropic)
        if kind.startswith("plateau"):
            return self.draws.bivariate_plateau(*numbers, record["shape"], isotropic=isotropic)
        return self.draws.bivariate_Gaussian(*numbers, isotropic=isotropic)

    def blur(self, image: torch.Tensor, record: dict | None) -> torch.Tensor:
        """With the kernel in the middle of 21 x 21 zeros, as the data set has it; without one a pulse, for the final filter."""
        kernel = self.kernel(record) if record else numpy.ones((1, 1))
        border = (21 - kernel.shape[0]) // 2
        return self.images.filter2D(image, torch.FloatTensor(numpy.pad(kernel, border))[None])

    def noise(self, image: torch.Tensor, record: dict) -> torch.Tensor:
        gray = torch.tensor([float(record["gray"])])
        if record["kind"] == "gaussian":
            return self.draws.add_gaussian_noise_pt(image, torch.tensor([record["sigma"]]), gray)
        return self.draws.add_poisson_noise_pt(image, torch.tensor([record["scale"]]), gray_noise=gray)

    def before_jpeg(self, image: torch.Tensor, record: dict) -> torch.Tensor:
        if record["blur"]:
            image = self.blur(image, record["blur"])
        return self.noise(resize(image, record["resize"]), record["noise"])

    def jpeg(self, image: torch.Tensor, quality: float) -> torch.Tensor:
        return self.jpeger(torch.clamp(image, 0, 1), quality=torch.tensor([quality]))

    @torch.no_grad()
    def __call__(self, image: torch.Tensor, record: dict) -> torch.Tensor:
        """The numbers before they are rounded to levels."""
        first, second, final = record["first"], record["second"], record["final"]
        if record["sharpen"]:
            image = self.usm(image)
        image = self.jpeg(self.before_jpeg(image, first), first["jpegQuality"])
        image = self.before_jpeg(image, second)
        if not final["jpegLast"]:
            image = self.jpeg(image, second["jpegQuality"])
        image = self.blur(resize(image, final["resize"]), final["sinc"])
        if final["jpegLast"]:
            image = self.jpeg(image, second["jpegQuality"])
        return resize(image, record["resizeBack"]) if record["resizeBack"] else image


def resize(image: torch.Tensor, record: dict) -> torch.Tensor:
    if "factor" in record:
        return F.interpolate(image, scale_factor=record["factor"], mode=record["mode"])
    return F.interpolate(image, size=(record["height"], record["width"]), mode=record["mode"])
