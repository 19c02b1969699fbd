"""peft on a tiny Stable Diffusion 2 UNet with RASS's thirteen target modules, for @rass/lora: the adapters' tensors, the
output with them, gradients, merged weights, merged output and the keys of the file; and which layers each way of naming targets means.

The model is that of `unet/sd2`, whose weights stand in its own case. Everything is computed in float64.
"""
from __future__ import annotations

import copy

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from common import randomize, save_case, seeded
from unet import STYLES, TOKENS

# What RASS puts its LoRA on. @source restoration_adaptation/ras.py of github.com/Ka1Guan/RASS
TARGETS = [
    "to_k", "to_q", "to_v", "to_out.0", "conv", "conv1", "conv2", "conv_in", "conv_shortcut", "proj_out", "proj_in",
    "ff.net.2", "ff.net.0.proj",
]  # fmt: skip
CASES = {
    "plain": {"r": 2, "lora_alpha": 8, "init_lora_weights": "gaussian"},
    "rslora": {"r": 3, "lora_alpha": 2, "use_rslora": True},
    "dora": {"r": 2, "lora_alpha": 3, "use_dora": True},
    "patterns": {
        "r": 2,
        "lora_alpha": 4,
        "rank_pattern": {"attn2.to_q": 3, r"down_blocks.*\.conv1": 1, "conv_in": 4},
        "alpha_pattern": {"attn2.to_q": 1, "ff.net.2": 16},
        "exclude_modules": ["mid_block.resnets.0.conv1"],
    },
    "bias": {"r": 2, "lora_alpha": 4, "bias": "all", "lora_bias": True, "target_modules": ["proj_in", "conv1", "to_out.0"]},
}


def base() -> UNet2DConditionModel:
    return randomize(UNet2DConditionModel(**STYLES["sd2"]), seed=len("sd2")).double()


def strip(key: str) -> str:
    return key.removeprefix("base_model.model.")


def randomize_adapter(model, seed: int) -> None:
    g = seeded(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if "lora_A" in name or "lora_B" in name:
                p.copy_(torch.randn(p.shape, generator=g) * 0.15)
            elif "magnitude" in name:
                p.mul_(1 + 0.1 * torch.randn(p.shape, generator=g))
            elif "modules_to_save" in name or (p.requires_grad and name.endswith("bias")):
                p.add_(0.1 * torch.randn(p.shape, generator=g))


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = seeded(seed)
    sample = torch.randn(1, 4, 6, 4, generator=g).double()
    return sample, torch.randn(1, TOKENS, STYLES["sd2"]["cross_attention_dim"], generator=g).double()


def trained(model) -> dict[str, torch.Tensor]:
    return {strip(n): p for n, p in model.named_parameters() if p.requires_grad}


def adapters() -> None:
    for i, (name, options) in enumerate(CASES.items()):
        config = LoraConfig(**{"target_modules": TARGETS, **options})
        model = get_peft_model(base(), config).double().eval()
        randomize_adapter(model, seed=50 + i)
        sample, text = inputs(60 + i)
        out = model(sample, 7, text).sample
        dy = torch.randn(out.shape, generator=seeded(70 + i)).double()
        parameters = trained(model)
        grads = torch.autograd.grad((out * dy).sum(), list(parameters.values()))
        tensors = {f"a/{k}": v for k, v in parameters.items()}
        tensors |= {f"grad/{k}": v for k, v in zip(parameters, grads)}
        tensors |= {"in/sample": sample, "in/text": text, "in/dy": dy, "out/sample": out}
        keys = sorted(strip(k) for k in get_peft_model_state_dict(model))
        merged = copy.deepcopy(model).merge_and_unload(safe_merge=True)
        tensors["out/merged"] = merged(sample, 7, text).sample
        save_case(f"lora/{name}", tensors, {"options": options, "keys": keys})
        before = dict(base().named_parameters())
        changed = {f"w/{k}": v for k, v in merged.named_parameters() if not torch.equal(v, before[k])}
        save_case(f"lora/{name}-merged", changed, {})


def whole() -> None:
    """Three adapters that act together, one of which has a layer of its own."""
    model = get_peft_model(base(), LoraConfig(r=2, lora_alpha=8, target_modules=["to_q"], modules_to_save=["conv_in"]))
    model = model.double().eval()
    randomize_adapter(model, seed=80)
    sample, text = inputs(81)
    tensors = {f"a/{k}": v for k, v in trained(model).items()}
    tensors |= {"in/sample": sample, "in/text": text, "out/sample": model(sample, 7, text).sample}
    model.add_adapter("second", LoraConfig(r=1, lora_alpha=1, target_modules=["to_q", "conv2"]))
    model.double()
    randomize_adapter(model, seed=82)
    tensors = {f"a/{strip(n)}": p for n, p in model.named_parameters() if "lora_" in n or "modules_to_save" in n}
    tensors |= {"in/sample": sample, "in/text": text}
    tensors["out/first"] = model(sample, 7, text).sample
    model.set_adapter("second")
    tensors["out/second"] = model(sample, 7, text).sample
    model.base_model.set_adapter(["default", "second"])
    tensors["out/both"] = model(sample, 7, text).sample
    with model.disable_adapter():
        tensors["out/none"] = model(sample, 7, text).sample
    save_case("lora/together", tensors, {})


class Kinds(torch.nn.Module):
    """A layer of each kind that takes an adapter."""

    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(7, 4)
        self.out = torch.nn.Linear(4, 6)
        self.conv = torch.nn.Conv2d(6, 5, 3, padding=1)

    def forward(self, ids):
        return self.conv(self.out(self.words(ids)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


# In the order in which they act: each DoRA turns what those before it gave.
STACKS = {
    "plain-dora": [{}, {"use_dora": True}],
    "dora-plain": [{"use_dora": True}, {}],
    "dora-dora": [{"use_dora": True}, {"use_dora": True, "r": 1}],
    "bias-dora": [{"lora_bias": True, "target_modules": ["out", "conv"]}, {"use_dora": True}],
    "three": [{"use_dora": True}, {"use_rslora": True}, {"use_dora": True, "lora_alpha": 5}],
}
WEIGHTS = [0.5, -0.75, 1.5]


def stacks() -> None:
    """Adapters on one layer with DoRA among them: run, merged, and with a weight for each, as diffusers' set_adapters sets it."""
    ids = torch.tensor([[[0, 6, 3], [3, 3, 1]]])
    base = randomize(Kinds(), seed=200).double()
    tensors = {"in/ids": ids} | {f"w/{k}": v.clone() for k, v in base.named_parameters()}
    for i, (case, adapters) in enumerate(STACKS.items()):
        configs = [LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": ["words", "out", "conv"], **options}) for options in adapters]
        names = [f"a{k}" for k in range(len(configs))]
        model = get_peft_model(copy.deepcopy(base), configs[0], adapter_name=names[0])
        for name, config in zip(names[1:], configs[1:]):
            model.add_adapter(name, config)
        model.base_model.set_adapter(names)
        model = model.double().eval()
        g = seeded(210 + i)
        with torch.no_grad():
            for key, p in sorted(model.named_parameters()):
                if "lora_" in key:
                    noise = torch.randn(p.shape, generator=g).double()
                    p.copy_(p * (1 + 0.3 * noise) if "magnitude" in key else 0.4 * noise)
            tensors |= {f"{case}/a/{strip(k)}": p for k, p in model.named_parameters() if "lora_" in k}
            tensors[f"{case}/out/y"] = model(ids)
            merged = copy.deepcopy(model).merge_and_unload(safe_merge=True, adapter_names=names)
            tensors |= {f"{case}/merged/{k}": v for k, v in merged.named_parameters()}
            for module in model.modules():
                for name, weight in zip(names, WEIGHTS):
                    if hasattr(module, "set_scale") and name in module.scaling:
                        module.set_scale(name, weight)
            tensors[f"{case}/out/weighted"] = model(ids)
    save_case("lora/stacks", tensors, {"stacks": STACKS, "weights": WEIGHTS})


class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(7, 5)
        self.out = torch.nn.Linear(5, 3)

    def forward(self, ids):
        return self.out(self.words(ids))


def embeddings() -> None:
    ids = torch.tensor([[0, 6, 3], [3, 3, 1]])
    for i, (name, options) in enumerate({"plain": {}, "dora": {"use_dora": True}}.items()):
        plain = randomize(Words(), seed=90).double()
        weights = {f"w/{k}": v.clone() for k, v in plain.named_parameters()}
        model = get_peft_model(plain, LoraConfig(r=2, lora_alpha=3, target_modules=["words", "out"], **options)).double().eval()
        randomize_adapter(model, seed=91 + i)
        g = seeded(93)
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "embedding" in n:
                    p.copy_(torch.randn(p.shape, generator=g).double())
        out = model(ids)
        parameters = trained(model)
        dy = torch.randn(out.shape, generator=seeded(94)).double()
        grads = torch.autograd.grad((out * dy).sum(), list(parameters.values()))
        tensors = weights | {f"a/{k}": v for k, v in parameters.items()} | {f"grad/{k}": v for k, v in zip(parameters, grads)}
        merged = copy.deepcopy(model).merge_and_unload()
        tensors |= {"in/ids": ids, "in/dy": dy, "out/y": out, "out/words": merged.words.weight}
        save_case(f"lora/embedding-{name}", tensors, {})


WAYS = {
    "list": {"target_modules": ["to_q", "attn1.to_k", "conv_in"]},
    "regex": {"target_modules": r".*\.attentions\.0\..*\.(to_q|to_v)"},
    "all-linear": {"target_modules": "all-linear"},
    "exclude-list": {"target_modules": ["to_q", "to_k"], "exclude_modules": ["attn1.to_q", "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"]},
    "exclude-regex": {"target_modules": ["conv1", "conv2"], "exclude_modules": r"down_blocks\..*"},
    "regex-flags": {"target_modules": r"(?i)DOWN_BLOCKS\..*\.TO_[QK]"},
    "regex-names": {"target_modules": r"(?P<part>down|up)_blocks\.(?#the first)0\..*\.(?P<kind>conv)[12]\Z"},
    "regex-back": {"target_modules": r"\A(?P<part>\w+)\.(?P<n>\d)\.\w+\.(?P=n)\..*conv\d{,1}"},
    "regex-class": {"target_modules": r".*\.attentions\.[]0]\.[^]]+\.to_(q|k)"},
    "layers": {"target_modules": ["to_q", "conv1"], "layers_to_transform": [1]},
    "layers-pattern": {"target_modules": ["to_q", "conv1", "down_blocks.0.resnets.0.conv1"], "layers_to_transform": 0, "layers_pattern": ["attentions", "(?:down|up)_blocks"]},
}


def ways() -> None:
    found = {}
    for name, options in WAYS.items():
        model = get_peft_model(base(), LoraConfig(r=1, **options))
        found[name] = {**options, "layers": sorted(strip(n).removesuffix(".lora_A.default") for n, m in model.named_modules() if n.endswith(".lora_A.default"))}
    save_case("lora/targets", {"none": torch.zeros(1)}, found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    adapters()
    whole()
    embeddings()
    stacks()
    ways()
