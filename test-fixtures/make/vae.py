"""Goldens of @rass/vae: diffusers' AutoencoderKL with tiny random weights.

Each case: the posterior's mean and log variance, a sample with given noise, the KL divergence, the decoded image, features
of named modules, and the gradients of sum(mean * a + logvar * b) and sum(image * c) by the input and by every weight.
"""
from __future__ import annotations

import json
import pathlib
import tempfile

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from common import randomize, save_case, seeded

# As the published vae/config.json of Stable Diffusion, but for the sizes.
BASE = {
    "act_fn": "silu",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "norm_num_groups": 2,
    "sample_size": 32,
}

FULL = {
    **BASE,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 512,
}


def config(widths: list[int], layers: int, **more) -> dict:
    levels = len(widths)
    return {
        **BASE,
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": layers,
        **more,
    }


def build(c: dict, seed: int) -> AutoencoderKL:
    return randomize(AutoencoderKL.from_config({"_class_name": "AutoencoderKL", **c}), seed)


def random(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed))


def watch(model: AutoencoderKL, names: list[str]) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    modules = dict(model.named_modules())
    for name in names:
        modules[name].register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out.detach().clone()))
    return seen


def gradients(model: AutoencoderKL, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What has been accumulated since the last call, by weight and by the input."""
    found = {f"w/{key}": p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return {**found, "in": x.grad.clone()}


def case(name: str, c: dict, size: tuple[int, int], batch: int, taps: list[str], seed: int, with_gradients: bool = True) -> None:
    model = build(c, seed)
    image = (2 * torch.rand((batch, c["in_channels"], *size), generator=seeded(seed + 1)) - 1).requires_grad_()
    seen = watch(model, taps)
    posterior = model.encode(image).latent_dist
    noise = random(posterior.mean.shape, seed + 2)
    posterior_noise = posterior.mean + posterior.std * noise
    a, b = random(posterior.mean.shape, seed + 3), random(posterior.mean.shape, seed + 4)
    ((posterior.mean * a).sum() + (posterior.logvar * b).sum()).backward()
    encoding = gradients(model, image)
    latents = random(posterior.mean.shape, seed + 5).requires_grad_()
    decoded = model.decode(latents).sample
    d = random(decoded.shape, seed + 6)
    (decoded * d).sum().backward()
    decoding = gradients(model, latents)
    other = DiagonalGaussianDistribution(random((batch, 2 * c["latent_channels"], *posterior.mean.shape[2:]), seed + 7))
    tensors = {
        **{f"w/{key}": p for key, p in model.state_dict().items()},
        "in/image": image, "in/noise": noise, "in/a": a, "in/b": b, "in/latents": latents, "in/c": d,
        "in/other": other.parameters,
        "out/mean": posterior.mean, "out/logvar": posterior.logvar, "out/sample": posterior_noise,
        "out/kl": posterior.kl(), "out/klOther": posterior.kl(other), "out/nll": posterior.nll(noise),
        "out/decoded": decoded,
        **{f"tap/{key}": value for key, value in seen.items()},
    }
    if with_gradients:
        tensors |= {f"grad/encode/{key}": value for key, value in encoding.items()}
        tensors |= {f"grad/decode/{key}": value for key, value in decoding.items()}
    save_case(f"vae/{name}", tensors, c)


def tiles() -> None:
    """enable_tiling on images that are not whole numbers of tiles."""
    c = config([4, 8], 1, sample_size=16, latent_channels=3)
    model = build(c, 40)
    model.enable_tiling()
    tensors = {f"w/{key}": p for key, p in model.state_dict().items()}
    for name, (height, width) in {"wide": (20, 42), "tall": (42, 12), "small": (14, 16), "ragged": (31, 35)}.items():
        image = 2 * torch.rand((2 if name == "small" else 1, 3, height, width), generator=seeded(41)) - 1
        with torch.no_grad():
            posterior = model.encode(image).latent_dist
            latents = random((1, 3, height // 2, width // 2), 42)
            decoded = model.decode(latents).sample
        tensors |= {f"in/{name}/image": image, f"out/{name}/mean": posterior.mean, f"out/{name}/logvar": posterior.logvar}
        tensors |= {f"in/{name}/latents": latents, f"out/{name}/decoded": decoded}
    save_case("vae/tiles", tensors, c)


def keys() -> None:
    """Every key and shape of Stable Diffusion's autoencoder, without its 83,653,863 values; and the constructor's defaults."""
    with torch.device("meta"):
        model = AutoencoderKL.from_config({"_class_name": "AutoencoderKL", **FULL})
    shapes = {key: list(p.shape) for key, p in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        AutoencoderKL(norm_num_groups=32).save_config(folder)
        saved = json.loads((pathlib.Path(folder) / "config.json").read_text())
    save_case("vae/keys", {}, {"config": FULL, "shapes": shapes, "defaults": saved})


if __name__ == "__main__":
    ends = ["encoder.conv_in", "encoder.conv_out", "encoder", "quant_conv", "post_quant_conv", "decoder.conv_in", "decoder.conv_out"]
    blocks = [f"encoder.down_blocks.{i}" for i in range(3)] + [f"decoder.up_blocks.{i}" for i in range(3)]
    inside = [
        "encoder.down_blocks.1.resnets.0", "encoder.down_blocks.1.downsamplers.0", "encoder.mid_block.resnets.0",
        "encoder.mid_block.attentions.0", "encoder.mid_block", "decoder.mid_block.attentions.0", "decoder.mid_block",
        "decoder.up_blocks.1.resnets.2", "decoder.up_blocks.0.upsamplers.0",
    ]
    case("square", config([4, 8, 8], 1), (16, 16), 2, [], 10)
    case("wide", config([4, 8, 8], 2), (12, 20), 1, ends + blocks + inside, 20, with_gradients=False)
    # Stable Diffusion 3 leaves the 1x1 convolutions out; some VAEs the attention. Odd sides are rounded down.
    bare = config(
        [4, 8], 1, latent_channels=2, use_quant_conv=False, use_post_quant_conv=False,
        mid_block_add_attention=False, shift_factor=0.25, scaling_factor=1.5,
    )
    case("bare-odd", bare, (13, 21), 1, [], 30)
    tiles()
    keys()
