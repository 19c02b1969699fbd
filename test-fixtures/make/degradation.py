"""Real-ESRGAN's degradation by basicsr 1.4.2's own code and torch: kernels, filter, sizes, noise, JPEG, sharpening, and whole records."""

import numpy
import torch
import torch.nn.functional as F

from basicsr_degradation import Degradation, resize
from common import save_case, seeded


def picture(height: int, width: int, seed: int) -> torch.Tensor:
    """A smooth field with some grain, of levels as an image file has them."""
    generator = seeded(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=generator)
    image = F.interpolate(coarse, size=(height, width), mode="bicubic") + 0.05 * torch.randn(1, 3, height, width, generator=generator)
    return (image.clamp(0, 1) * 255).round() / 255


def gaussian(kind: str, size: int, x: float, y: float | None = None, angle: float = 0.0, shape: float = 1.0) -> dict:
    return dict(kind=kind, size=size, sigmaX=x, sigmaY=x if y is None else y, angle=angle, shape=shape)


def sinc(size: int, cutoff: float) -> dict:
    return dict(kind="sinc", size=size, cutoff=cutoff)


KERNELS = [
    *(gaussian("iso", size, sigma) for size, sigma in [(7, 0.2), (13, 1.7), (21, 3.0)]),
    *(gaussian("aniso", size, *rest) for size, *rest in [(7, 0.3, 2.5, 0.4), (21, 0.7, 3.0, -2.9), (15, 2.0, 1.0, 1.5707964)]),
    *(gaussian("generalized_iso", size, sigma, shape=shape) for size, sigma, shape in [(9, 0.8, 0.5), (21, 2.9, 4.0)]),
    *(gaussian("generalized_aniso", *rest) for rest in [(11, 0.5, 2.2, 2.2, 0.6), (21, 3.0, 1.2, -0.7, 3.3)]),
    *(gaussian("plateau_iso", size, sigma, shape=shape) for size, sigma, shape in [(7, 0.25, 2.0), (21, 2.5, 1.0)]),
    *(gaussian("plateau_aniso", *rest) for rest in [(17, 0.4, 1.5, 3.0, 1.3), (21, 2.8, 0.9, -1.1, 2.0)]),
    *(sinc(size, cutoff) for size, cutoff in [(7, 3.1415926), (7, 1.0471976), (13, 0.6283185), (21, 2.0), (21, 3.1)]),
]


def kernels(theirs: Degradation) -> None:
    save_case("degradation/kernels", {f"out/{i}": torch.from_numpy(theirs.kernel(each)) for i, each in enumerate(KERNELS)}, dict(kernels=KERNELS))


def filters(theirs: Degradation) -> None:
    chosen = [KERNELS[i] for i in (0, 2, 4, 8, 13, 17)]
    images = dict(even=picture(22, 40, 1), odd=picture(31, 65, 2))
    tensors = {f"in/{name}": image for name, image in images.items()}
    for name, image in images.items():
        for i, each in enumerate(chosen):
            tensors[f"out/{name}/{i}"] = theirs.blur(image, each)
    # Smaller than what is reflected: torch refuses, so NumPy reflects.
    small = picture(3, 5, 3)
    padded = numpy.pad(small[0].numpy(), ((0, 0), (10, 10), (10, 10)), mode="reflect")
    kernel = torch.from_numpy(theirs.kernel(KERNELS[17])).float()
    tensors |= {"in/small": small, "out/small/5": F.conv2d(torch.from_numpy(padded)[:, None], kernel[None, None]).transpose(0, 1)}
    save_case("degradation/filter", tensors, dict(kernels=chosen))


def sizes() -> None:
    image = picture(23, 31, 4)
    to = [dict(factor=0.37), dict(factor=0.8), dict(factor=1.0), dict(factor=1.013), dict(factor=1.49)]
    to += [dict(width=8, height=6), dict(width=31, height=23), dict(width=45, height=30), dict(width=20, height=60), dict(width=1, height=1)]
    records = []
    for each in to:
        f = each.get("factor")
        size = dict(width=int(31 * f), height=int(23 * f)) if f else {}
        records += [dict(mode=mode, **size, **each) for mode in ("area", "bilinear", "bicubic")]
    tensors = {f"out/{i}": resize(image, each) for i, each in enumerate(records)}
    save_case("degradation/resize", {"in/image": image, **tensors}, dict(records=records))


def jpegs(theirs: Degradation) -> None:
    images = dict(whole=picture(32, 48, 5), odd=picture(17, 35, 6), tiny=picture(3, 5, 7), flat=torch.full((1, 3, 16, 16), 129 / 255))
    qualities = [5.0, 30.5, 49.9, 50.0, 75.0, 95.0]
    tensors = {f"in/{name}": image for name, image in images.items()}
    for name, image in images.items():
        for i, quality in enumerate(qualities):
            tensors[f"out/{name}/{i}"] = theirs.jpeg(image, quality)
    save_case("degradation/jpeg", tensors, dict(qualities=qualities))


class Listener:
    """Keeps what torch draws: of two in a row, one gray and one in colours, the record's kind."""

    def __init__(self, tensors: dict[str, torch.Tensor], seed: int) -> None:
        self.tensors, self.generator, self.heard = tensors, seeded(seed), []

    def __enter__(self) -> "Listener":
        self.kept = torch.randn, torch.poisson
        torch.randn = lambda *size, **_: self.hear(self.kept[0](*size, generator=self.generator))
        torch.poisson = lambda mean: self.hear(self.kept[1](mean, generator=self.generator))
        return self

    def __exit__(self, *_: object) -> None:
        torch.randn, torch.poisson = self.kept

    def hear(self, drawn: torch.Tensor) -> torch.Tensor:
        self.heard.append(drawn)
        return drawn

    def store(self, name: str, grays: list[bool]) -> None:
        """Gray ones come first where there are any."""
        position = 0
        for i, gray in enumerate(grays):
            self.tensors[f"{name}/{i}"] = self.heard[position].reshape(-1)
            position += 2 if gray else 1
        assert position == len(self.heard)


def noises(theirs: Degradation) -> None:
    image = picture(20, 18, 8)
    dark = (image * 0.1 * 255).round() / 255
    tensors, cases = {"in/image": image, "in/dark": dark}, []
    for name, input in dict(image=image, dark=dark).items():
        for gray in (False, True):
            for clip, rounds in ((True, False), (True, True), (False, False), (False, True)):
                for kind, strength in (("gaussian", 25.0), ("poisson", 2.5)):
                    add = theirs.draws.add_gaussian_noise_pt if kind == "gaussian" else theirs.draws.add_poisson_noise_pt
                    at = len(cases)
                    with Listener(tensors, 100 + at) as listener:
                        tensors[f"out/{at}"] = add(input, strength, gray_noise=torch.tensor([float(gray)]), clip=clip, rounds=rounds)
                    listener.store(f"drawn/{at}", [gray])
                    cases.append(dict(input=name, kind=kind, strength=strength, gray=gray, clip=clip, round=rounds))
    save_case("degradation/noise", tensors, dict(cases=cases))


def sharpened(theirs: Degradation) -> None:
    generator = seeded(9)
    steps = torch.rand(1, 3, 6, 5, generator=generator).repeat_interleave(11, 2).repeat_interleave(13, 3)
    save_case("degradation/sharpen", {"in/image": steps, "out/image": theirs.usm(steps)}, {})


def noise(kind: str, strength: float, gray: bool, seed: int) -> dict:
    return dict(kind=kind, gray=gray, seed=seed, **{"sigma" if kind == "gaussian" else "scale": strength})


def pipelines(theirs: Degradation) -> None:
    def sized(mode: str, width: int, height: int, **factor: float) -> dict:
        return dict(mode=mode, width=width, height=height, **factor)

    size = dict(width=60, height=44)
    records = [
        dict(
            **size,
            sharpen=False,
            first=dict(blur=KERNELS[4], resize=sized("bicubic", 42, 31, factor=0.713), noise=noise("gaussian", 7.5, False, 0), jpegQuality=62.5),
            second=dict(blur=KERNELS[1], resize=sized("area", 66, 48), noise=noise("poisson", 0.4, True, 1), jpegQuality=81.25),
            final=dict(jpegLast=True, resize=sized("bilinear", 60, 44), sinc=KERNELS[17]),
            resizeBack=None,
        ),
        dict(
            **size,
            sharpen=True,
            first=dict(blur=KERNELS[15], resize=sized("bilinear", 83, 61, factor=1.395), noise=noise("poisson", 1.25, False, 0), jpegQuality=41.5),
            second=dict(blur=None, resize=sized("bicubic", 13, 9), noise=noise("gaussian", 3.0, True, 1), jpegQuality=90.0),
            final=dict(jpegLast=False, resize=sized("area", 15, 11), sinc=None),
            resizeBack=sized("bicubic", 60, 44),
        ),
        dict(
            **size,
            sharpen=False,
            first=dict(blur=KERNELS[11], resize=sized("area", 60, 44, factor=1.0), noise=noise("gaussian", 21.0, True, 0), jpegQuality=33.0),
            second=dict(blur=KERNELS[9], resize=sized("bilinear", 33, 24), noise=noise("poisson", 2.0, False, 1), jpegQuality=55.5),
            final=dict(jpegLast=False, resize=sized("bicubic", 60, 44), sinc=KERNELS[15]),
            resizeBack=None,
        ),
    ]
    for i, record in enumerate(records):
        image = picture(44, 60, 20 + i)
        tensors = {"in/image": image}
        with Listener(tensors, 200 + i) as listener:
            tensors["out/image"] = theirs(image, record)
        listener.store("drawn", [record[name]["noise"]["gray"] for name in ("first", "second")])
        save_case(f"degradation/pipeline-{i}", tensors, dict(record=record))


def main() -> None:
    theirs = Degradation()
    with torch.no_grad():
        kernels(theirs)
        filters(theirs)
        sizes()
        jpegs(theirs)
        noises(theirs)
        sharpened(theirs)
        pipelines(theirs)


if __name__ == "__main__":
    main()
