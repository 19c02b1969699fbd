"""Adapters in LyCORIS' own files, and the weights with which LyCORIS' layers compute when it has read them again, for @rass/lora.

The weights are what the layers give for unit inputs: LyCORIS 4.1's own merging multiplies LoHa and LoKr by alpha / rank twice, its
layers, with which adapters are trained, once."""
# requirements: requirements-lycoris.txt
from __future__ import annotations

import logging
import shutil

import torch
from lycoris import LycorisNetwork, create_lycoris
from safetensors.torch import save_file

from common import GOLDEN, randomize, save_case, seeded

FILES = GOLDEN / "lora" / "lycoris"
CASES = {
    "locon": {},
    "locon-scalar-rs": {"use_scalar": True, "rs_lora": True},
    "locon-tucker": {"use_tucker": True},
    "locon-dora": {"dora_wd": True},
    "locon-dora-inputs": {"dora_wd": True, "wd_on_output": False},
    "loha": {"algo": "loha"},
    "loha-tucker": {"algo": "loha", "use_tucker": True},
    "loha-dora": {"algo": "loha", "dora_wd": True},
    "loha-dora-inputs": {"algo": "loha", "dora_wd": True, "wd_on_output": False},
    "lokr": {"algo": "lokr", "factor": 2},
    "lokr-both": {"algo": "lokr", "factor": 4, "decompose_both": True, "linear_dim": 1, "conv_dim": 1},
    "lokr-whole": {"algo": "lokr", "factor": 2, "full_matrix": True},
    "lokr-tucker": {"algo": "lokr", "factor": 2, "use_tucker": True, "linear_dim": 1, "conv_dim": 1},
    "lokr-dora": {"algo": "lokr", "factor": 2, "dora_wd": True, "wd_on_output": False},
    "full": {"algo": "full", "train_norm": True},
}
# Of DoRA, of which LyCORIS has a rule of its own.
MULTIPLIERS = [0.5, -0.5]


def net() -> torch.nn.Module:
    block = {"lin": torch.nn.Linear(12, 8), "plain": torch.nn.Linear(8, 16, bias=False), "conv": torch.nn.Conv2d(8, 16, 3), "conv_out": torch.nn.Conv2d(6, 8, 1), "norm": torch.nn.GroupNorm(2, 8)}  # fmt: skip
    return randomize(torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([torch.nn.ModuleDict(block)])}), 1)


def network_on(model: torch.nn.Module, options: dict) -> LycorisNetwork:
    return create_lycoris(model, 1.0, **{"linear_dim": 2, "linear_alpha": 3, **options})


def trained(options: dict, seed: int) -> dict[str, torch.Tensor]:
    """The state of a network as training would leave it."""
    # LyCORIS starts its factors from the global generator.
    torch.manual_seed(seed)
    network = network_on(net(), options)
    network.apply_to()
    g = seeded(seed)
    with torch.no_grad():
        for name, p in sorted(network.named_parameters()):
            noise = torch.randn(p.shape, generator=g)
            if "dora_scale" in name:
                p.mul_(1 + 0.1 * noise)
            else:
                p.add_(0.3 * noise)
    return {k: v.clone().contiguous() for k, v in network.state_dict().items()}


def weight_and_bias(layer: torch.nn.Module, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a layer that is linear in inputs of the weight's size."""
    inputs = torch.eye(shape[1:].numel()).reshape(-1, *shape[1:])
    bias = layer(torch.zeros_like(inputs[:1]))
    return (layer(inputs) - bias).flatten(1).T.reshape(shape), bias.flatten()


def acting(options: dict, state: dict[str, torch.Tensor], multiplier: float = 1.0) -> dict[str, torch.Tensor]:
    """create_lycoris_from_weights takes all lengths for those of the outputs; a network of the same options does not."""
    model, tensors = net(), {}
    network = network_on(model, options)
    with torch.no_grad():
        for each in network.loras:
            prefix = f"{each.lora_name}."
            each.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        network.apply_to()
        network.set_multiplier(multiplier)
        for name, weight in net().named_parameters():
            path = name.removesuffix(".weight")
            if path == "blocks.0.norm" and options.get("train_norm"):
                tensors[name], tensors[f"{path}.bias"] = network.get_submodule(f"lycoris_{path.replace('.', '_')}").make_weight()
            elif path != name and path != "blocks.0.norm":
                tensors[name], tensors[f"{path}.bias"] = weight_and_bias(model.get_submodule(path), weight.shape)
    return tensors


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable()
    LycorisNetwork.apply_preset({"exclude_name": []})
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(parents=True)
    held = {f"w/{k}": v for k, v in net().state_dict().items()}
    for i, (case, options) in enumerate(CASES.items()):
        state = trained(options, 200 + i)
        save_file(state, FILES / f"{case}.safetensors")
        held |= {f"out/{case}/{key}": value for key, value in acting(options, state).items()}
        for multiplier in MULTIPLIERS if options.get("dora_wd") else []:
            held |= {f"scaled/{case}/{multiplier}/{key}": value for key, value in acting(options, state, multiplier).items()}
    save_case("lora/lycoris", held, {"cases": CASES, "multipliers": MULTIPLIERS})
