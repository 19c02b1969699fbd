"""Adapters in LyCORIS' own files, and the weights into which LyCORIS folds them when it has read them again, for @rass/lora."""
# requirements: requirements-lycoris.txt
from __future__ import annotations

import logging
import shutil

import torch
from lycoris import LycorisNetwork, create_lycoris
from lycoris.wrapper import create_lycoris_from_weights
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
    "lokr": {"algo": "lokr", "factor": 2},
    "lokr-both": {"algo": "lokr", "factor": 4, "decompose_both": True, "linear_dim": 1, "conv_dim": 1},
    "lokr-whole": {"algo": "lokr", "factor": 2, "full_matrix": True},
    "lokr-tucker": {"algo": "lokr", "factor": 2, "use_tucker": True, "linear_dim": 1, "conv_dim": 1},
    "lokr-dora": {"algo": "lokr", "factor": 2, "dora_wd": True, "wd_on_output": False},
    "full": {"algo": "full", "train_norm": True},
}


def net() -> torch.nn.Module:
    block = {"lin": torch.nn.Linear(12, 8), "plain": torch.nn.Linear(8, 16, bias=False), "conv": torch.nn.Conv2d(8, 16, 3), "conv_out": torch.nn.Conv2d(6, 8, 1), "norm": torch.nn.GroupNorm(2, 8)}  # fmt: skip
    return randomize(torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([torch.nn.ModuleDict(block)])}), 1)


def trained(options: dict, seed: int) -> dict[str, torch.Tensor]:
    """The state of a network as training would leave it."""
    network = create_lycoris(net(), 1.0, **{"linear_dim": 2, "linear_alpha": 3, **options})
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
        model = net()
        with torch.no_grad():
            network, _ = create_lycoris_from_weights(1.0, str(FILES / f"{case}.safetensors"), model)
            network.merge_to(1.0)
        for key, value in model.state_dict().items():
            key = key.replace("org_module.", "")
            if not torch.equal(value, held[f"w/{key}"]):
                held[f"out/{case}/{key}"] = value
        print(case, sorted({k.split(".")[-1] if not k.endswith("weight") else ".".join(k.split(".")[-2:]) for k in state}))
    save_case("lora/lycoris", held, {"cases": CASES})
