"""diffusers' UNet2DConditionModel at tiny sizes, for @rass/unet: outputs, taps, attention probabilities and gradients.

Per style one case with the weights, and one for each latent size. The loss is a weighted sum of the output, of some
taps and of some attention probabilities, so that gradients flow through all three. Everything is computed in float64,
and again in float32 to see that the case is well conditioned: rounding must not use up the tests' tolerance.
"""
from __future__ import annotations

import copy
import hashlib
import inspect
import re

import torch
from diffusers import UNet2DConditionModel

from common import randomize, save_case, seeded

TOKENS = 5
# Modules whose outputs can be tapped.
TAPPED = re.compile(
    r"conv_in|(down_blocks\.\d+|mid_block|up_blocks\.\d+)(\.(resnets|attentions|downsamplers|upsamplers)\.\d+)?"
)
COMMON = {"sample_size": 8, "norm_num_groups": 2, "layers_per_block": 1}
STYLES = {
    "sd1": {
        **COMMON,
        "block_out_channels": [8, 8, 8],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "attention_head_dim": 2,
        "cross_attention_dim": 6,
    },
    "sd2": {
        **COMMON,
        "block_out_channels": [8, 8, 12],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "attention_head_dim": [1, 2, 3],
        "cross_attention_dim": 10,
        "use_linear_projection": True,
        "upcast_attention": True,
    },
}
SIZES = {"8x8": (8, 8), "4x8": (4, 8), "7x5": (7, 5)}
LOSS_TAPS = ["down_blocks.0.resnets.0", "mid_block", "up_blocks.1"]
LOSS_ATTENTION = [
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2",
    "up_blocks.1.attentions.1.transformer_blocks.0.attn2",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn1",
]


class Capture:
    """An attention processor that keeps the probabilities, as [B, heads, L, S]."""

    def __init__(self, name: str, store: dict[str, torch.Tensor]):
        self.name, self.store = name, store

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        batch, length, _width = hidden_states.shape
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        mask = attn.prepare_attention_mask(attention_mask, context.shape[1], batch)
        q, k, v = (attn.head_to_batch_dim(t) for t in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)))
        probabilities = attn.get_attention_scores(q, k, mask)
        # Through the stored view, so that a loss on it reaches what made it.
        self.store[self.name] = probabilities.view(batch, attn.heads, length, context.shape[1])
        out = torch.bmm(self.store[self.name].reshape(probabilities.shape), v)
        return attn.to_out[0](attn.batch_to_head_dim(out))


def capture(model: UNet2DConditionModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(taps, probabilities), filled by each forward pass, in the order of running."""
    taps: dict[str, torch.Tensor] = {}
    probabilities: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if TAPPED.fullmatch(name):

            def hook(_module, _inputs, out, name=name):
                taps[name] = out[0] if isinstance(out, tuple) else getattr(out, "sample", out)

            module.register_forward_hook(hook)
        if name.endswith((".attn1", ".attn2")):
            module.set_processor(Capture(name, probabilities))
    return taps, probabilities


def run(model, size: tuple[int, int], timestep, seed: int, dtype: torch.dtype, **extra) -> dict[str, torch.Tensor]:
    """in/, out/, taps/, attention/, r/ (the loss's weights) and grad/ of one forward and backward pass."""
    g = seeded(seed)
    model = torch.nn.Module.to(copy.deepcopy(model), dtype)
    taps, probabilities = capture(model)
    sample = torch.randn(2, model.config.in_channels, *size, generator=g).to(dtype).requires_grad_()
    width = model.config.cross_attention_dim
    width = width if isinstance(width, int) else width[0]
    text = torch.randn(2, TOKENS, width, generator=g).to(dtype).requires_grad_()
    extra = {k: v.to(dtype) if v.is_floating_point() else v for k, v in extra.items()}
    out = model(sample, timestep, text, **extra).sample
    terms = {"out": out} | {k: taps[k] for k in LOSS_TAPS if k in taps} | {k: probabilities[k] for k in LOSS_ATTENTION if k in probabilities}
    weights = {k: torch.randn(v.shape, generator=g).to(dtype) for k, v in terms.items()}
    loss = sum((terms[k] * weights[k]).sum() for k in terms)
    parameters = dict(model.named_parameters())
    grads = torch.autograd.grad(loss, [sample, text, *parameters.values()])
    tensors = {"in/sample": sample, "in/text": text, "out/sample": out, "grad/sample": grads[0], "grad/text": grads[1]}
    tensors |= {f"r/{k}": v for k, v in weights.items()}
    # A block ends with one of its parts: the file may not hold one tensor twice.
    tensors |= {f"taps/{k}": v.clone() for k, v in taps.items()}
    tensors |= {f"attention/{k}": v for k, v in probabilities.items()}
    return tensors | {f"grad/w/{k}": v for k, v in zip(parameters, grads[2:])}


def conditioned(name: str, model, size: tuple[int, int], timestep, seed: int, **extra) -> dict[str, torch.Tensor]:
    """What float64 says; refuses a case in which float32 is off by more than a fifth of the tests' tolerance."""
    exact = run(model, size, timestep, seed, torch.float64, **extra)
    rounded = run(model, size, timestep, seed, torch.float32, **extra)
    for key, value in exact.items():
        off = ((rounded[key] - value).abs().max() / value.abs().max().clamp(min=1e-12)).item()
        if off > (2e-4 if key.startswith("grad/") else 2e-5):
            raise SystemExit(f"{name}: {key} is off by {off:.1e} in float32: take another seed")
    return exact


def split(tensors: dict[str, torch.Tensor], size: tuple[int, int]) -> tuple[dict, dict]:
    """(what every size's case holds, the gradients of all weights). The largest self-attentions are left out, and the
    gradients of the weights stand in the first by their lengths."""
    length = size[0] * size[1]
    weights = {k: v for k, v in tensors.items() if k.startswith("grad/w/")}
    norms = {f"norm/{k[7:]}": v.norm() for k, v in weights.items()}
    large = [k for k, v in tensors.items() if k.endswith("attn1") and v.shape[-1] == length and length > 36]
    return {k: v for k, v in tensors.items() if k not in weights and k not in large} | norms, weights


def styles() -> None:
    for style, config in STYLES.items():
        model = randomize(UNet2DConditionModel(**config), seed=len(style))
        save_case(f"unet/{style}", {f"w/{k}": v for k, v in model.named_parameters()}, config)
        for i, (name, size) in enumerate(SIZES.items()):
            timestep = torch.tensor([1, 731]) if i else 999
            tensors = conditioned(f"{style}-{name}", model, size, timestep, seed=10 + i)
            order = [k.split("/", 1)[1] for k in tensors if k.startswith(("taps/", "attention/"))]
            case = {"timestep": [1, 731] if i else 999, "order": order}
            forward, gradients = split(tensors, size)
            save_case(f"unet/{style}-{name}", forward, case)
            if name == "7x5":
                save_case(f"unet/{style}-{name}-gradients", gradients, case)


SMALL = {
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "block_out_channels": [8, 8],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "attention_head_dim": 2,
    "cross_attention_dim": 3,
}
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]])
VECTORS = torch.linspace(-1, 1, 12).reshape(2, 6)
# Each: what differs from SMALL, the timestep, further inputs.
VARIANTS = {
    "text-mask": ({}, 20, {"encoder_attention_mask": MASK}),
    "class-table": ({"num_class_embeds": 3, "only_cross_attention": [True, False]}, 20, {"class_labels": torch.tensor([2, 0])}),
    "class-timestep": ({"class_embed_type": "timestep", "act_fn": "gelu"}, 20, {"class_labels": torch.tensor([2, 7])}),
    "class-projection": (
        {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 6, "class_embeddings_concat": True, "act_fn": "mish"},
        20,
        {"class_labels": VECTORS},
    ),
    "class-simple-projection": (
        {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 6, "act_fn": "relu"},
        20,
        {"class_labels": VECTORS},
    ),
    "class-identity": ({"class_embed_type": "identity", "time_embedding_dim": 6}, 20, {"class_labels": VECTORS}),
    "time": (
        {
            "resnet_time_scale_shift": "scale_shift",
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "time_embedding_act_fn": "silu",
            "timestep_post_act": "gelu",
            "center_input_sample": True,
        },
        torch.tensor([0.25, 999.5]),
        {},
    ),
    "shapes": (
        {
            "in_channels": 3,
            "out_channels": 2,
            "conv_in_kernel": 1,
            "conv_out_kernel": 5,
            "downsample_padding": 0,
            "mid_block_scale_factor": 1.5,
            "norm_eps": 0.01,
            "layers_per_block": [2, 1],
            "cross_attention_dim": [3, 3],
            "transformer_layers_per_block": [2, 1],
        },
        20,
        {},
    ),
    "depths": (
        {
            "layers_per_block": 2,
            "transformer_layers_per_block": [[1, 2], [2, 1]],
            "reverse_transformer_layers_per_block": [1, [1, 1, 2]],
            "mid_block_type": "UNetMidBlock2D",
        },
        20,
        {},
    ),
    "no-middle": ({"mid_block_type": None}, 20, {}),
}


def plain(value):
    return value.tolist() if isinstance(value, torch.Tensor) else value


def variants() -> None:
    for i, (name, (changes, timestep, extra)) in enumerate(VARIANTS.items()):
        config = {**SMALL, **changes}
        model = randomize(UNet2DConditionModel(**config), seed=100 + i)
        tensors, _ = split(conditioned(name, model, (4, 3), timestep, seed=400 + i, **extra), (4, 3))
        weights = {f"w/{k}": v for k, v in model.named_parameters()}
        case = {"unet": config, "timestep": plain(timestep), "extra": {k: plain(v) for k, v in extra.items()}}
        save_case(f"unet/variant-{name}", {**tensors, **weights}, case)


SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SD21 = {"sample_size": 64, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}


def full_size() -> None:
    """Every key and shape of the real models, which takes no memory on the meta device."""
    shapes = {}
    for name, config in {"sd-1.5": SD15, "sd-2.1": SD21}.items():
        with torch.device("meta"):
            model = UNet2DConditionModel(**config)
        lines = sorted(f"{k} {'x'.join(map(str, v.shape))}" for k, v in model.state_dict().items())
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        shapes[name] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "keys": len(lines),
            "sha256": digest,
            # Every seventeenth, to show where a difference begins.
            "some": lines[::17],
        }
    fields = [name for name in inspect.signature(UNet2DConditionModel.__init__).parameters if name != "self"]
    save_case("unet/full-size", {"none": torch.zeros(1)}, {"models": shapes, "fields": fields})


if __name__ == "__main__":
    torch.set_num_threads(1)
    styles()
    variants()
    full_size()
