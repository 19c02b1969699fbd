"""Backbones: SwinBackbone of transformers, whose windows do not divide the image, and our small residual network as a torch module. Weights
are under the names of the files that save_pretrained writes; counts.json has the numbers of parameters of whole models.
"""
import json
import tempfile

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinBackbone, SwinConfig

from common import GOLDEN, randomize, save_case, seeded

STAGES = ["stage1", "stage2", "stage3", "stage4"]


def saved_weights(model) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(f"{folder}/model.safetensors")


def finish(name: str, weights: dict, model: nn.Module, maps, pixels: torch.Tensor, wanted: dict, config: dict, seed: int) -> None:
    """Outputs, and gradients of the sum of all features times fixed random factors."""
    generator = seeded(seed)
    tensors = {f"w/{key}": value for key, value in weights.items()} | {"in/pixels": pixels}
    loss = 0
    for level, x in enumerate(maps):
        tensors[f"out/res{level + 2}"] = x
        tensors[f"in/factor.{level}"] = factor = torch.randn(x.shape[1], generator=generator)
        loss = loss + (x * factor[:, None, None]).square().mean()
    for key, gradient in zip([*wanted, "pixels"], torch.autograd.grad(loss, [*wanted.values(), pixels])):
        tensors[f"grad/{key}"] = gradient
    save_case(f"mask2former/{name}", tensors, config)


def swin(name: str, size: tuple[int, int], seed: int, **fields) -> None:
    config = SwinConfig(out_features=STAGES, **fields)
    model = randomize(SwinBackbone(config), seed)
    pixels = torch.randn(2, 3, *size, generator=seeded(seed)).requires_grad_()
    weights = {key: value for key, value in saved_weights(model).items() if "layernorm." not in key.removeprefix("swin.")[:10]}
    parameters = dict(model.named_parameters())
    block = "encoder.layers.0.blocks.1"
    wanted = {
        f"{block}.attention.self.relative_position_bias_table": parameters[f"swin.{block}.attention.relative_position_bias.relative_position_bias_table"],
        f"{block}.attention.self.key.weight": parameters[f"swin.{block}.attention.k_proj.weight"],
        f"{block}.attention.output.dense.weight": parameters[f"swin.{block}.attention.o_proj.weight"],
        f"{block}.intermediate.dense.bias": parameters[f"swin.{block}.mlp.fc1.bias"],
        "encoder.layers.0.downsample.reduction.weight": parameters["swin.encoder.layers.0.downsample.reduction.weight"],
        "embeddings.patch_embeddings.projection.weight": parameters["swin.embeddings.patch_embeddings.projection.weight"],
        "hidden_states_norms.stage2.weight": parameters["hidden_states_norms.stage2.weight"],
    }
    finish(name, weights, model, model(pixels).feature_maps, pixels, wanted, fields, seed)




class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, groups: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(groups, outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(groups, outputs)
        if stride != 1 or inputs != outputs:
            self.conv_shortcut, self.norm_shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(groups, outputs)

    def forward(self, x):
        y = self.norm2(self.conv2(nn.functional.silu(self.norm1(self.conv1(x)))))
        return nn.functional.silu(y + (self.norm_shortcut(self.conv_shortcut(x)) if hasattr(self, "conv_shortcut") else x))


class Stem(nn.Module):
    def __init__(self, width: int, groups: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.GroupNorm(groups, width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.GroupNorm(groups, width)

    def forward(self, x):
        x = nn.functional.silu(self.norm1(self.conv1(x)))
        return nn.functional.silu(self.norm2(self.conv2(x)))


class Stage(nn.Module):
    def __init__(self, *blocks: Block):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        return self.blocks(x)


class ConvBackbone(nn.Module):
    def __init__(self, channels: list[int], depths: list[int], groups: int):
        super().__init__()
        self.stem = Stem(channels[0], groups)
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                first = i == 0 and stage > 0
                blocks.append(Block(channels[stage - 1 if first else stage], channels[stage], 2 if first else 1, groups))
            self.stages.append(Stage(*blocks))

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def conv(name: str, channels: list[int], depths: list[int], groups: int, seed: int) -> None:
    model = randomize(ConvBackbone(channels, depths, groups), seed)
    pixels = torch.randn(2, 3, 36, 50, generator=seeded(seed)).requires_grad_()
    wanted = {key: p for key, p in model.named_parameters() if key in ("stem.conv1.weight", "stages.1.blocks.0.norm_shortcut.weight", "stages.3.blocks.0.conv2.weight")}
    finish(name, model.state_dict(), model, model(pixels), pixels, wanted, dict(channels=channels, depths=depths, groups=groups), seed)


def counts() -> None:
    """Published models' sizes: their configurations, without the weights."""
    swins = dict(tiny=dict(embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7),
                 large=dict(embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], window_size=12))
    found = {}
    for name, fields in swins.items():
        queries = 100 if name == "tiny" else 200
        config = Mask2FormerConfig(backbone_config=SwinConfig(out_features=STAGES, **fields), num_labels=150, num_queries=queries)
        with torch.device("meta"):
            model = Mask2FormerForUniversalSegmentation(config)
        # The backbone's last norm is of its use as a classifier: no feature goes through it, and it is not counted.
        count = sum(p.numel() for key, p in model.named_parameters() if ".swin.layernorm." not in key)
        found[name] = dict(backbone_config=fields, num_labels=150, num_queries=queries, count=count)
    (GOLDEN / "mask2former" / "counts.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    # Windows of 3 patches: 39 x 50 pixels are 10 x 13 patches, then 5 x 7, 3 x 4, 2 x 2.
    swin("swin", (39, 50), 51, embed_dim=4, depths=[2, 2, 1, 1], num_heads=[2, 2, 4, 4], window_size=3, mlp_ratio=2.0)
    swin("swin-even", (32, 32), 52, embed_dim=4, depths=[2, 1, 2, 1], num_heads=[1, 2, 2, 4], window_size=2, mlp_ratio=1.0, qkv_bias=False, hidden_act="relu")
    conv("conv-backbone", [4, 8, 8, 16], [1, 2, 1, 1], 2, 53)
    counts()
