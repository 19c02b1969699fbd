"""Adapters in the files that others write, for @rass/lora: peft's folders, diffusers' files, kohya's, LyCORIS' names, and a pickle
laid out as OSEDiff's and RASS's. What they hold stands, by peft's names within the model, in the case `lora/files`."""
from __future__ import annotations

import json
import shutil

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from common import GOLDEN, save_case, seeded
from lora import Words, base, randomize_adapter, strip

FILES = GOLDEN / "lora" / "files"
SMALL = ["attn2.to_q", "conv2", "proj_in"]
CASES = {
    "plain": {"r": 2, "lora_alpha": 3},
    "rslora": {"r": 2, "lora_alpha": 3, "use_rslora": True},
    "dora": {"r": 2, "lora_alpha": 3, "use_dora": True, "rank_pattern": {"conv2": 1}, "alpha_pattern": {r"up_blocks.*\.proj_in": 5}},
    "whole": {"r": 2, "lora_alpha": 3, "modules_to_save": ["conv_in", "conv_norm_out"], "init_lora_weights": "gaussian"},
    "bias-all": {"r": 2, "lora_alpha": 3, "bias": "all"},
    "bias-lora": {"r": 2, "lora_alpha": 3, "bias": "lora_only", "lora_bias": True, "target_modules": ["conv2", "proj_in"]},
    "container": {"r": 2, "lora_alpha": 3, "target_modules": ["to_q", "conv2"], "modules_to_save": ["time_embedding"], "layers_to_transform": [0], "layers_pattern": ["attentions", "resnets"], "revision": "fp16"},
}


def adapted(options: dict, seed: int):
    model = get_peft_model(base().float(), LoraConfig(**{"target_modules": SMALL, **options}))
    randomize_adapter(model, seed)
    return model


def named(model) -> dict[str, torch.Tensor]:
    return {strip(k): v for k, v in get_peft_model_state_dict(model).items()}


def tidy(folder) -> None:
    """Leaves the files that matter, with sets in one order."""
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for name in ["target_modules", "modules_to_save"]:
        config[name] = config[name] and sorted(config[name])
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def peft_folders(tensors: dict) -> None:
    for i, (name, options) in enumerate(CASES.items()):
        model = adapted(options, seed=100 + i)
        model.save_pretrained(FILES / f"peft-{name}")
        tidy(FILES / f"peft-{name}")
        tensors |= {f"{name}/{k}": v for k, v in named(model).items()}
    words = get_peft_model(Words(), LoraConfig(r=2, lora_alpha=3, target_modules=["words"]))
    with torch.no_grad():
        for n, p in sorted(words.named_parameters()):
            if "embedding" in n:
                p.copy_(torch.randn(p.shape, generator=seeded(120)))
    words.save_pretrained(FILES / "peft-embedding")
    tidy(FILES / "peft-embedding")
    tensors |= {f"embedding/{k}": v for k, v in named(words).items()}


def one_file() -> None:
    """The adapter of the case `plain`, by diffusers and kohya."""
    model = adapted(CASES["plain"], seed=100)
    layers = named(model)
    metadata = model.peft_config["default"].to_dict()
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        FILES,
        unet_lora_layers=layers,
        text_encoder_lora_layers={"text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(1, 2),
                                  "text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight": torch.ones(2, 1)},
        weight_name="diffusers.safetensors",
        unet_lora_adapter_metadata=json.loads(json.dumps(metadata, default=sorted)),
    )  # fmt: skip
    old = {f"unet.{k}": v for k, v in convert_state_dict_to_diffusers(layers).items()}
    save_file(old, FILES / "diffusers-old.safetensors")
    kohya = {k: v.half() if v.is_floating_point() else v for k, v in convert_state_dict_to_kohya({f"unet.{k}": v for k, v in layers.items()}).items()}
    # diffusers knows no alpha here and writes the rank: the scale goes into the first factor, as its users do.
    kohya = {k: v * 1.5 if k.endswith("lora_down.weight") else v for k, v in kohya.items()}
    save_file(kohya, FILES / "kohya.safetensors")


def processors() -> None:
    g = seeded(130)
    at = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor"
    sizes = {"to_q": (8, 8), "to_k": (10, 8), "to_v": (10, 8), "to_out": (8, 8)}
    state = {}
    for name, (inputs, outputs) in sizes.items():
        state[f"{at}.{name}_lora.down.weight"] = torch.randn(2, inputs, generator=g)
        state[f"{at}.{name}_lora.up.weight"] = torch.randn(outputs, 2, generator=g)
    torch.save(state, FILES / "processors.bin")


def rass_pickles(tensors: dict) -> None:
    """As OSEDiff's save_model and RASS's loader have it: three adapters, and conv_in in peft's clothes."""
    places = {"encoder": r"(down_blocks.*|conv_in)", "decoder": r"up_blocks.*", "others": r"mid_block.*"}
    unet = base().float()
    lists = {}
    for place, pattern in places.items():
        layers = r"(?=" + pattern + r"$)(.*\.)?(to_q|conv_in)"
        unet.add_adapter(LoraConfig(r=4, init_lora_weights="gaussian", target_modules=layers), adapter_name=f"default_{place}")
        lists[place] = [n.removesuffix(".lora_A") for n, m in unet.named_modules() if n.endswith(".lora_A") and f"default_{place}" in m]
    randomize_adapter(unet, 140)
    state = {k: v for k, v in unet.state_dict().items() if "lora" in k or "conv_in" in k}
    file = {f"unet_lora_{place}_modules": names for place, names in lists.items()} | {"rank_unet": 4, "state_dict_unet": state}
    torch.save(file, FILES / "rass.pkl")
    vae = {"encoder.conv_in.lora_A.default_encoder.weight": torch.ones(4, 3, 3, 3), "encoder.conv_in.lora_B.default_encoder.weight": torch.ones(8, 4, 1, 1)}
    torch.save(file | {"rank_vae": 4, "vae_lora_encoder_modules": ["encoder.conv_in"], "state_dict_vae": vae}, FILES / "osediff.pkl")
    tensors |= {f"rass/{k}": v for k, v in state.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(parents=True)
    held: dict[str, torch.Tensor] = {}
    peft_folders(held)
    one_file()
    processors()
    rass_pickles(held)
    save_case("lora/files", held, {"cases": CASES})
