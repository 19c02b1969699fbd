"""peft's combinations of adapters, its starts and its LoHa and LoKr layers, for the algebra of @rass/lora. In float64 but for
the starts, which peft computes in float32."""
from __future__ import annotations

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, convert_to_lora, get_peft_model

from common import randomize, save_case, seeded


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(12, 10)
        self.conv = torch.nn.Conv2d(6, 8, 3)
        self.small = torch.nn.Conv2d(6, 8, 1)
        self.words = torch.nn.Embedding(9, 5)


LAYERS = ["lin", "conv", "small", "words"]
COMBINATIONS = {
    "linear": {"combination_type": "linear"},
    "cat": {"combination_type": "cat"},
    "svd": {"combination_type": "svd"},
    "svd-rank-1": {"combination_type": "svd", "svd_rank": 1},
    "ties": {"combination_type": "ties", "density": 0.6},
    "ties-frequency": {"combination_type": "ties", "density": 0.5, "majority_sign_method": "frequency"},
    "magnitude_prune": {"combination_type": "magnitude_prune", "density": 0.4},
    "ties_svd": {"combination_type": "ties_svd", "density": 0.7, "svd_rank": 4},
    "magnitude_prune_svd": {"combination_type": "magnitude_prune_svd", "density": 0.3, "svd_rank": 5},
    "svd-clamp": {"combination_type": "svd", "svd_clamp": 0.8},
    "ties_svd-frequency": {"combination_type": "ties_svd", "density": 0.6, "majority_sign_method": "frequency"},
    "dare_ties_svd-1": {"combination_type": "dare_ties_svd", "density": 1.0, "svd_rank": 2},
    "dare_linear-1": {"combination_type": "dare_linear", "density": 1.0},
    "dare_ties-1": {"combination_type": "dare_ties", "density": 1.0},
}
WEIGHTS = [0.7, -0.4, 1.3]


decompose = torch.linalg.svd


def settled(*args, **options):
    """The signs of singular vectors are arbitrary, and where factors are cut off depends on them: the largest element of each
    right vector is made positive."""
    u, s, vh = decompose(*args, **{**options, "full_matrices": False})
    most = vh.gather(1, vh.abs().argmax(dim=1, keepdim=True))
    return u * most.sign().T, s, vh * most.sign()


def fill(model, seed: int, deviation: float = 0.5) -> None:
    g = seeded(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if "lora_" in name or "hada_" in name or "lokr_" in name:
                p.copy_(torch.randn(p.shape, generator=g) * deviation)


def factors(module, adapter: str) -> tuple[torch.Tensor, torch.Tensor]:
    if adapter in module.lora_A:
        return module.lora_A[adapter].weight, module.lora_B[adapter].weight
    return module.lora_embedding_A[adapter], module.lora_embedding_B[adapter]


def combinations() -> None:
    model = get_peft_model(randomize(Net(), 1), LoraConfig(r=3, lora_alpha=6, target_modules=LAYERS), adapter_name="a").double()
    model.add_adapter("b", LoraConfig(r=3, lora_alpha=3, target_modules=["lin", "conv"]))
    model.add_adapter("c", LoraConfig(r=3, lora_alpha=2, use_rslora=True, target_modules=LAYERS))
    model.double()
    fill(model, 2)
    tensors = {}
    names = ["a", "b", "c"]
    for layer in LAYERS:
        module = model.base_model.model.get_submodule(layer)
        for name in names:
            if name in module.scaling:
                tensors[f"a/{name}/{layer}/down"], tensors[f"a/{name}/{layer}/up"] = (t.clone() for t in factors(module, name))
    torch.linalg.svd = settled
    for case, options in COMBINATIONS.items():
        model.add_weighted_adapter(names, WEIGHTS, adapter_name=case, **options)
        for layer in LAYERS:
            module = model.base_model.model.get_submodule(layer)
            tensors[f"delta/{case}/{layer}"] = module.get_delta_weight(case)
            if case in ("linear", "ties", "ties-frequency", "magnitude_prune", "svd-clamp"):
                down, up = factors(module, case)
                tensors[f"out/{case}/{layer}/down"], tensors[f"out/{case}/{layer}/up"] = down, up
    torch.linalg.svd = decompose
    save_case("lora/combine", tensors, {"combinations": COMBINATIONS, "weights": WEIGHTS})


def starts() -> None:
    tensors = {}
    # The fast start of PiSSA samples no more columns than ranks, so it depends on the draw.
    for init in ["pissa", "olora"]:
        net = randomize(Net(), 4)
        before = net.lin.weight.detach().clone()
        model = get_peft_model(net, LoraConfig(r=3, lora_alpha=6, init_lora_weights=init, target_modules=["lin"]))
        lin = model.base_model.model.lin
        tensors |= {f"{init}/residual": lin.base_layer.weight, f"{init}/product": lin.get_delta_weight("default"), "weight": before}
    save_case("lora/starts", tensors, {})


def other_products() -> None:
    tensors, config = {}, {}
    for name, options in {
        "loha": LoHaConfig(r=2, alpha=3, target_modules=["lin", "conv", "small"]),
        "loha-tucker": LoHaConfig(r=2, alpha=3, use_effective_conv2d=True, target_modules=["conv"]),
        "lokr": LoKrConfig(r=2, alpha=3, target_modules=["lin", "conv", "small"]),
        "lokr-both": LoKrConfig(r=1, alpha=3, decompose_both=True, decompose_factor=4, target_modules=["lin"]),
        "lokr-tucker": LoKrConfig(r=1, alpha=3, use_effective_conv2d=True, target_modules=["conv"]),
    }.items():
        model = get_peft_model(randomize(Net(), 5), options).double()
        fill(model, 6)
        for layer in options.target_modules:
            module = model.base_model.model.get_submodule(layer)
            tensors[f"delta/{name}/{layer}"] = module.get_delta_weight("default")
            for n, p in module.named_parameters():
                if n.endswith(".default"):
                    tensors[f"a/{name}/{layer}/{n.removesuffix('.default')}"] = p
        config[name] = {"layers": sorted(options.target_modules), "alpha": 3}
    save_case("lora/other-products", tensors, config)


def converted() -> None:
    """Both LoHa and LoKr as plain LoRA, by a rank and by a share of the squares of the singular values."""
    tensors, config = {}, {}
    for name, options in {
        "loha": LoHaConfig(r=2, alpha=3, target_modules=["lin"]),
        "lokr": LoKrConfig(r=1, alpha=3, decompose_both=True, decompose_factor=4, target_modules=["lin"]),
    }.items():
        model = get_peft_model(randomize(Net(), 5), options).double()
        fill(model, 7)
        for n, p in model.base_model.model.lin.named_parameters():
            if n.endswith(".default"):
                tensors[f"a/{name}/lin/{n.removesuffix('.default')}"] = p
        for rank in [2, 0.8]:
            plain, factors = convert_to_lora(model.float(), rank)
            down, up = (factors[f"base_model.model.lin.lora_{which}.weight"] for which in "AB")
            tensors[f"delta/{name}/{rank}"] = up @ down
            config[f"{name}/{rank}"] = down.shape[0]
    save_case("lora/converted", tensors, config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    combinations()
    starts()
    other_products()
    converted()
