"""Ten steps of training of RASS's first stage in PyTorch: diffusers' UNet and autoencoder with peft's adapters, LPIPS of lpips.py, the
alignment loss of attention_alignment.py, AdamW and clipping of torch. For @rass/rass: each step's losses and the norm of its gradients.
The second stage is in rass_training_seg.py.

Nothing is recorded that both sides can draw: weights, inputs and noise come from the generator of @rass/nn, by name. Everything runs in
float64, and again with rounding to see that the case is well conditioned. Rates are far above those of real training, so that losses move.
"""
from __future__ import annotations

import copy
import math

import numpy
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig

from attention_alignment import masks, one, tag_map
from common import save_case, seeded
from lora import TARGETS
from lpips import VGG, features
from unet import Capture

STEPS, BATCH, TOKENS = 10, 2, 8
RANK, ALPHA = 2, 8
PLACES = ["encoder", "decoder", "others"]
UNET = {
    "sample_size": 8,
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "block_out_channels": [8, 8, 8, 8],
    "attention_head_dim": [1, 2, 2, 4],
    "cross_attention_dim": 6,
    "use_linear_projection": True,
}
# One level less, so that the smallest maps of 64 pixels are of 2 x 2: norms of a single place would enlarge rounding a thousand times.
SMALL_UNET = UNET | {
    "block_out_channels": [8, 8, 8],
    "attention_head_dim": [1, 2, 2],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
VAE = {
    "block_out_channels": [4, 4, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "sample_size": 64,
    "latent_channels": 4,
}
SIDE = 64
LATENTS = 8
GUIDANCE = 7.5
SCALING = 0.18215
# One tag has two tokens. Classes are from 0 to 3; the labels' grid is of 8 x 8 cells.
TAGS = [[[1], [2, 3], [5]], [[1, 2], [4]]]
CLASSES = [[0, 3, 1], [3, 2]]
WARM_UP = 4
MASK = 0xFFFFFFFF


def draws(name: str, count: int, seed: int = 1) -> numpy.ndarray:
    """Uniform in [0, 1): namedRandom of @rass/nn."""
    state = seed
    for letter in name:
        state = ((state ^ ord(letter)) * 0x01000193) & MASK
    t = (state + numpy.arange(1, count + 1, dtype=numpy.uint64) * 0x6D2B79F5) & MASK
    t = ((t ^ (t >> 15)) * (t | 1)) & MASK
    t = t ^ ((t + (((t ^ (t >> 7)) * (t | 61)) & MASK)) & MASK)
    return ((t ^ (t >> 14)) & MASK) / 4294967296.0


def drawn(name: str, shape, scale: float = 1.0) -> torch.Tensor:
    """Uniform in [-scale, scale), rounded to float32."""
    values = (2 * draws(name, math.prod(shape)) - 1) * scale
    return torch.from_numpy(values.astype(numpy.float32)).reshape(tuple(shape))


def start(model: str, key: str, shape) -> torch.Tensor:
    """A weight's first value, of the order of a trained one's. Smaller in the head, which decides by thresholds what to look at and
    which points to judge: there rounding must not grow."""
    name = f"{model}:{key}"
    if ".lora_B." in key:
        return drawn(name, shape, 0.05 if model == "scr" else 0)
    if ".lora_A." in key:
        return drawn(name, shape, 1 / RANK)
    if "queries_" in key:
        return drawn(name, shape, 2)
    if key.startswith("lin"):
        return drawn(name, shape).abs()
    if len(shape) > 1:
        return drawn(name, shape, (1.2 if model == "seg" else 2) / math.sqrt(math.prod(shape[1:])))
    return 1 + drawn(name, shape, 0.2) if key.endswith("weight") else drawn(name, shape, 0.2)


def started(module: torch.nn.Module, name: str, prefix: str = "") -> torch.nn.Module:
    with torch.no_grad():
        for key, p in module.named_parameters():
            p.copy_(start(name, prefix + key, p.shape))
    return module.eval().requires_grad_(False)


def with_adapters(unet: UNet2DConditionModel, name: str, targets: list[str], suffix: str = "") -> UNet2DConditionModel:
    """Three adapters, of the way down, the way up and the rest, as OSEDiff and RASS have them."""
    found = {place: [] for place in PLACES}
    for path, _ in unet.named_modules():
        if any(path == each or path.endswith(f".{each}") for each in targets):
            down, up = path.startswith(("down_blocks", "conv_in")), path.startswith(("up_blocks", "conv_out"))
            found["encoder" if down else "decoder" if up else "others"].append(path)
    names = [f"default_{place}{suffix}" for place in PLACES]
    for adapter, place in zip(names, PLACES):
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, init_lora_weights="gaussian", target_modules=found[place])
        unet.add_adapter(config, adapter_name=adapter)
    unet.set_adapter(names)
    with torch.no_grad():
        for key, p in unet.named_parameters():
            if ".lora_" in key:
                p.copy_(start(name, key, p.shape))
    return unet


def trained_of(unet: UNet2DConditionModel, conv_in: bool = True) -> dict[str, torch.nn.Parameter]:
    """Adapters and the first convolution, by key; they require gradients, and nothing else does."""
    found = {}
    for key, p in unet.named_parameters():
        wanted = ".lora_" in key or (conv_in and key.startswith("conv_in."))
        p.requires_grad_(wanted)
        if wanted:
            found[key.replace(".base_layer", "")] = p
    return found


def share_of_signal(timesteps: list[int], like: torch.Tensor) -> torch.Tensor:
    betas = numpy.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2
    shares = numpy.cumprod(1 - betas)[timesteps]
    return torch.from_numpy(shares).to(like)[:, None, None, None]


def timesteps(name: str, low: int, high: int) -> list[int]:
    return [low + int(u * (high - low)) for u in draws(name, BATCH)]


def labels_of(name: str, side: int) -> torch.Tensor:
    """Cells of one class, a few of which are ignored. [side, side]"""
    cells = (draws(name, 64) * 4.4).astype(int).reshape(8, 8)
    cells[cells == 4] = 255
    return torch.from_numpy(cells).repeat_interleave(side // 8, 0).repeat_interleave(side // 8, 1)


def alignment(attention: dict[str, torch.Tensor], labels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mean over sizes and samples of the area term and of the cross-entropy; attention [B, N, L, T]."""
    sizes = {}
    for probabilities in attention.values():
        sizes.setdefault(round(probabilities.shape[2] ** 0.5), []).append(probabilities)
    areas, pixels = [], []
    for side, layers in sizes.items():
        for b in range(BATCH):
            m, v, valid = (x.to(layers[0]) for x in masks(labels[b], CLASSES[b], (side, side), "area"))
            maps = torch.stack([tag_map([layer[b] for layer in layers], ks, False) for ks in TAGS[b]], 1)
            area, pixel = one("area+ce", maps, m, v, valid, "tags", None)
            areas.append(area)
            pixels.append(pixel)
    area, pixel = sum(areas) / len(areas), sum(pixels) / len(pixels)
    return {"alignment": area + 0.1 * pixel, "area": area, "pixel": pixel}


class Optimizer:
    """AdamW and clipping of all gradients together."""

    def __init__(self, groups: list[dict], clip: float):
        self.optimizer = torch.optim.AdamW(groups)
        self.parameters = [p for group in groups for p in group["params"]]
        self.clip = clip

    def step(self, loss: torch.Tensor) -> torch.Tensor:
        """The norm of the gradients before clipping."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # As a variable that the loss does not reach: it decays.
        for p in self.parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        return norm


LEARNING_RATE = 1e-3
WEIGHTS = {"l2": 1, "lpips": 2, "distillation": 1}


class StageOne:
    def __init__(self, kind: str, dtype: torch.dtype):
        self.kind, self.dtype = kind, dtype
        frozen = started(UNet2DConditionModel(**SMALL_UNET), "unet").to(dtype)
        self.judge = copy.deepcopy(frozen)
        self.unet = with_adapters(copy.deepcopy(frozen), "start", [*TARGETS, "conv_out"]).to(dtype)
        self.vae = started(AutoencoderKL(**VAE), "vae").to(dtype)
        self.lpips = {}
        inputs = 3
        for path, channels, kernel, *_ in VGG:
            self.lpips |= {f"net.{path}.weight": (channels, inputs, kernel, kernel), f"net.{path}.bias": (channels,)}
            inputs = channels
        self.lpips |= {f"lin{i}.model.1.weight": (1, s[1], 1, 1) for i, s in enumerate(s for s in VGG if s[-1])}
        self.lpips = {key: start("lpips", key, shape).double() for key, shape in self.lpips.items()}
        self.attention: dict[str, torch.Tensor] = {}
        for name, module in self.unet.named_modules():
            if name.startswith("up_blocks") and name.endswith(".attn2"):
                module.set_processor(Capture(name, self.attention))
        self.trained = trained_of(self.unet)
        self.optimizer = Optimizer([dict(params=list(self.trained.values()), lr=LEARNING_RATE, weight_decay=0.01)], 1.0)
        if kind == "vsd":
            self.student = with_adapters(copy.deepcopy(frozen), "student", [*TARGETS, "conv_out"]).to(dtype)
            self.learner = Optimizer([dict(params=list(trained_of(self.student, conv_in=False).values()), lr=LEARNING_RATE, weight_decay=0.01)], 1.0)

    def data(self, name: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
        return drawn(name, shape, scale).to(self.dtype)

    def guess(self, unet, noised: torch.Tensor, at: list[int], text: torch.Tensor) -> torch.Tensor:
        share = share_of_signal(at, noised)
        return (noised - (1 - share).sqrt() * unet(noised, torch.tensor(at), text).sample) / share.sqrt()

    def distilled(self, step: int, z: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """OSEDiff's VSD or PiSA-SR's CSD."""
        at = timesteps(f"timestep {step}", 20, 500)
        share = share_of_signal(at, z)
        noise, negative = self.data(f"noise {step}", *z.shape, scale=1.7), self.data("negative", BATCH, TOKENS, UNET["cross_attention_dim"])
        with torch.no_grad():
            noised = share.sqrt() * z + (1 - share).sqrt() * noise
            led, free = self.guess(self.judge, noised, at, text), self.guess(self.judge, noised, at, negative)
            led = free + GUIDANCE * (led - free)
            before = free if self.kind == "csd" else self.guess(self.student, noised, at, text)
            direction = (before - led) / (z - led).abs().mean(dim=[1, 2, 3], keepdim=True)
        return F.mse_loss(z, (z - direction).detach())

    def learn(self, step: int, z: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The student's own step, on what was restored before the update."""
        at = timesteps(f"student timestep {step}", 0, 1000)
        share, noise = share_of_signal(at, z), self.data(f"student noise {step}", *z.shape, scale=1.7)
        noised = share.sqrt() * z.detach() + (1 - share).sqrt() * noise
        loss = F.mse_loss(self.student(noised, torch.tensor(at), text).sample, noise)
        self.learner.step(loss)
        return loss

    def step(self, step: int) -> dict[str, torch.Tensor]:
        batch = step % 2
        latents = self.data(f"latents {batch}", BATCH, 4, LATENTS, LATENTS, scale=1.7)
        target = self.data(f"target {batch}", BATCH, 3, SIDE, SIDE)
        text = self.data(f"text {batch}", BATCH, TOKENS, UNET["cross_attention_dim"], scale=1.7)
        labels = [labels_of(f"labels {batch} {b}", 32) for b in range(BATCH)]
        predicted = self.unet(latents, 1, text).sample
        share = share_of_signal([1], latents)
        z = latents - predicted if self.kind == "csd" else (latents - (1 - share).sqrt() * predicted) / share.sqrt()
        image = self.vae.decode(z / SCALING).sample
        pairs = zip(features(image, VGG, self.lpips), features(target, VGG, self.lpips))
        distances = sum(F.conv2d((x - y) ** 2, self.lpips[f"lin{i}.model.1.weight"]).mean((1, 2, 3)) for i, (x, y) in enumerate(pairs))
        terms = {"l2": F.mse_loss(image, target), "lpips": distances.mean(), "distillation": self.distilled(step, z, text)}
        terms |= alignment(self.attention, labels)
        loss = sum(weight * terms[name] for name, weight in WEIGHTS.items()) + min(1, (step + 1) / WARM_UP) * terms["alignment"]
        terms |= {"loss": loss, "norm": self.optimizer.step(loss)}
        return terms | ({"student": self.learn(step, z, text)} if self.kind == "vsd" else {})


def nudged(stage):
    """The stage with its weights as far off as if each had been rounded a few times."""
    generator = seeded(1)
    with torch.no_grad():
        for module in vars(stage).values():
            for p in module.parameters() if isinstance(module, torch.nn.Module) else ():
                p.mul_(1 + 2e-7 * torch.randn(p.shape, generator=generator).to(p))
    return stage


def trajectory(name: str, stage: type, config: dict, **options) -> None:
    """Runs a stage and records what its steps find; refuses a case in which rounding uses up much of the tests' tolerance."""
    exact = run(stage(dtype=torch.float64, **options))
    others = [run(stage(dtype=torch.float32, **options)), run(nudged(stage(dtype=torch.float64, **options)))]
    for key, values in exact.items():
        offs = [((values - other[key]).abs() / values.abs()).max().item() for other in others]
        print(f"  {key}: {values[0]:.5g} -> {values[-1]:.5g}; float32 is off by {offs[0]:.1e}, nudged weights by {offs[1]:.1e}")
        if offs[0] > 2e-4 or offs[1] > 5e-4:
            raise SystemExit(f"{name}: {key} is off by {max(offs):.1e}: take other draws")
    save_case(name, {f"out/{key}": values for key, values in exact.items()}, dict(steps=STEPS, **config))


def run(stage) -> dict[str, torch.Tensor]:
    steps = [stage.step(i) for i in range(STEPS)]
    return {key: torch.stack([torch.as_tensor(step[key]).detach().double() for step in steps]) for key in steps[0]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = dict(unet=SMALL_UNET, vae=VAE, rank=RANK, alpha=ALPHA, tokens=TOKENS, side=SIDE)
    config |= dict(tags=TAGS, classes=CLASSES, rate=LEARNING_RATE, warmUp=WARM_UP)
    names = ["path", "channels", "kernel", "stride", "padding", "pool", "compared"]
    config["lpips"] = [{name: value for name, value in zip(names, (f"net.{path}", *rest)) if name != "pool" or value} for path, *rest in VGG]
    for kind in ("csd", "vsd"):
        trajectory(f"rass/training-{kind}", StageOne, config, kind=kind)
