"""transformers' CLIP text models at tiny sizes, for @rass/text-encoder: outputs, hidden states, attention probabilities
and gradients with respect to the input embeddings and to every weight.

The loss is a weighted sum of the last hidden state, of the pooled output, of one hidden state and of one layer's
probabilities, so that gradients flow through all of them.
"""
from __future__ import annotations

import json

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import GOLDEN, randomize, save_case, seeded

# As the published configurations have it: end token 2, which means "the largest id of the row".
LEGACY_END = 2
COMMON = {"max_position_embeddings": 9, "attention_dropout": 0.0, "bos_token_id": 0, "pad_token_id": 1}
STYLES = {
    # Stable Diffusion 1: quick_gelu, padding with the end token, so that the largest id comes several times.
    "sd1": {
        "class": CLIPTextModel,
        "config": {**COMMON, "vocab_size": 30, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
                   "num_attention_heads": 3, "hidden_act": "quick_gelu", "eos_token_id": LEGACY_END},
        "ids": [[28, 3, 7, 12, 29, 29, 29, 29, 29], [28, 5, 29, 29, 29, 29, 29, 29, 29], [28, 1, 2, 3, 4, 5, 6, 7, 29]],
        "prefix": "text_model.",
    },
    # Stable Diffusion 2: gelu, more layers, padding with 0; keys as transformers 5 saves them, without text_model.
    "sd2": {
        "class": CLIPTextModel,
        "config": {**COMMON, "vocab_size": 26, "hidden_size": 16, "intermediate_size": 28, "num_hidden_layers": 5,
                   "num_attention_heads": 4, "hidden_act": "gelu", "eos_token_id": LEGACY_END, "layer_norm_eps": 1e-5},
        "ids": [[24, 3, 7, 12, 25, 0, 0, 0, 0], [24, 25, 0, 0, 0, 0, 0, 0, 0]],
        "prefix": "",
    },
    # With a projection, a mask over padding on both sides, an end token of its own that one row lacks, short rows.
    "projection": {
        "class": CLIPTextModelWithProjection,
        "config": {**COMMON, "vocab_size": 20, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 3,
                   "num_attention_heads": 2, "hidden_act": "gelu", "eos_token_id": 17, "projection_dim": 7},
        "ids": [[16, 3, 19, 17, 17, 1], [1, 1, 16, 9, 17, 4], [16, 2, 3, 4, 5, 6]],
        "mask": [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
        "prefix": "",
    },
}  # fmt: skip


def weighted(generator: torch.Generator, terms: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    weights = {name: torch.randn(term.shape, generator=generator) for name, term in terms.items()}
    return sum((term * weights[name]).sum() for name, term in terms.items()), weights


def make(name: str, style: dict) -> None:
    config = CLIPTextConfig(**style["config"], attn_implementation="eager")
    model = randomize(style["class"](config), 11)
    text = getattr(model, "text_model", model)
    embedded: list[torch.Tensor] = []
    text.embeddings.register_forward_hook(lambda _module, _inputs, out: embedded.append(out))
    ids = torch.tensor(style["ids"])
    mask = torch.tensor(style["mask"]) if "mask" in style else None
    out = model(ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)
    last = out.last_hidden_state
    pooled = text(ids, attention_mask=mask).pooler_output if "text_embeds" in out else out.pooler_output
    assert len(out.hidden_states) == config.num_hidden_layers + 1
    terms = {"last": last, "hidden": out.hidden_states[1], "attention": out.attentions[-1]}
    terms |= {"embedding": out.text_embeds} if "text_embeds" in out else {"pooled": out.pooler_output}
    loss, factors = weighted(seeded(12), terms)
    weights = dict(model.named_parameters())
    found = torch.autograd.grad(loss, [embedded[0], *weights.values()])
    prefix = style["prefix"]
    tensors = {"in/ids": ids.int(), "out/last": last, "out/pooled": pooled, "grad/embedded": found[0]}
    tensors |= {f"w/{prefix}{key}": value for key, value in weights.items()}
    tensors |= {f"grad/{prefix}{key}": value for key, value in zip(weights, found[1:])}
    tensors |= {f"hidden/{i}": value for i, value in enumerate(out.hidden_states)}
    tensors |= {f"attention/{i}": value for i, value in enumerate(out.attentions)}
    tensors |= {f"r/{key}": value for key, value in factors.items()}
    if mask is not None:
        tensors["in/mask"] = mask.int()
    if "text_embeds" in out:
        tensors["out/embedding"] = out.text_embeds
    saved = config.to_dict() | {"architectures": [style["class"].__name__]}
    save_case(f"text-encoder/{name}", tensors, saved)


# text_encoder/config.json of Stable Diffusion 1.5 and of 2.1.
PUBLISHED_15 = {
    "_name_or_path": "openai/clip-vit-large-patch14", "architectures": ["CLIPTextModel"], "attention_dropout": 0.0,
    "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768,
    "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
    "pad_token_id": 1, "projection_dim": 768, "torch_dtype": "float32", "transformers_version": "4.22.0.dev0",
    "vocab_size": 49408,
}  # fmt: skip
PUBLISHED_21 = PUBLISHED_15 | {
    "_name_or_path": "hf-models/stable-diffusion-v2-768x768/text_encoder", "hidden_act": "gelu", "hidden_size": 1024,
    "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 23, "projection_dim": 512,
    "transformers_version": "4.25.0.dev0",
}  # fmt: skip


def list_parameters() -> None:
    """The parameters of the published models, by key and shape; nothing is allocated."""
    models = {}
    for name, config in {"stable-diffusion-1.5": PUBLISHED_15, "stable-diffusion-2.1": PUBLISHED_21}.items():
        with torch.device("meta"):
            model = CLIPTextModel(CLIPTextConfig(**config))
        shapes = {f"text_model.{key}": list(value.shape) for key, value in model.named_parameters()}
        count = sum(value.numel() for value in model.parameters())
        models[name] = {"config": config, "count": count, "shapes": shapes}
    path = GOLDEN / "text-encoder/parameters.json"
    path.write_text(json.dumps(models, indent=None, separators=(",", ":")).replace('"text_model', '\n"text_model') + "\n")
    print(f"text-encoder/parameters: {path.stat().st_size} bytes")


if __name__ == "__main__":
    list_parameters()
    for name, style in STYLES.items():
        make(name, style)
