"""Ten steps of training of RASS's second stage in PyTorch, as rass_training.py has the first: the SCR LoRA merged, the Seg LoRA in three
adapters, the first convolution, the feature fusion of rass.py, transformers' Mask2Former head and criterion. For @rass/rass.

The criterion's random points are those of randomPoints of @rass/mask2former, whose seed is the step.
"""
from __future__ import annotations

import math
from unittest.mock import patch

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import Mask2FormerConfig
from transformers.models.mask2former import modeling_mask2former as mask2former

from lora import TARGETS
from rass import Fusion
from rass_training import (
    ALPHA, BATCH, RANK, SCALING, STEPS, TOKENS, UNET, VAE, Optimizer, drawn, draws, labels_of, started, trained_of, trajectory, with_adapters,
)  # fmt: skip

# Channels and strides of what is taken of the encoder and of the UNet.
DIMS, STRIDES = [4, 8, 8, 8, 8, 8], [4, 8, 32, 16, 8, 8]
FUSION = {"channels": 16, "bottleneck": 8, "groups": 2}
HEAD = {
    "feature_size": 32,
    "mask_feature_size": 32,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 16,
    "dim_feedforward": 16,
    "num_queries": 5,
    "encoder_layers": 1,
    "decoder_layers": 4,
    "num_attention_heads": 4,
    "num_labels": 4,
}
POINTS = 12
# Of the points of the first step; the next has the next. With others some step is near a tie: of queries, of uncertain points, of what a query sees.
SEED = 400
# The UNet's smallest maps are then of 2 x 2. With a single place, which the pyramid enlarges, norms would enlarge rounding a thousand times.
SIDE = 128
LEARNING_RATE, BACKBONE_FACTOR, DECAY, CLIP = 1e-3, 0.1, 0.05, 0.01


def points(step: int, dtype: torch.dtype):
    """In place of torch.rand: the criterion's points in its own order, the last layer's first."""
    names = []
    for layer in (HEAD["decoder_layers"] - 1, *range(HEAD["decoder_layers"] - 1)):
        names += [*(f"matching {layer} {image}" for image in range(BATCH)), f"candidates {layer}", f"uniform {layer}"]
    left = iter(names)
    return lambda *shape, **_: torch.from_numpy(draws(next(left), math.prod(shape), SEED + step).astype("float32")).reshape(shape).to(dtype)


class StageTwo:
    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype
        unet = with_adapters(started(UNet2DConditionModel(**UNET), "unet"), "scr", [*TARGETS, "conv_out"]).to(dtype)
        unet.fuse_lora()
        unet.unload_lora()
        self.unet = with_adapters(unet, "start", TARGETS, "_s2").to(dtype)
        self.vae = started(AutoencoderKL(**VAE), "vae").to(dtype)
        config = Mask2FormerConfig(**HEAD, train_num_points=POINTS)
        channels = FUSION["channels"]
        parts = {
            "backbone.feature_extractor": Fusion(DIMS, STRIDES, channels, FUSION["bottleneck"], FUSION["groups"]),
            "model.pixel_level_module.decoder": mask2former.Mask2FormerPixelDecoder(config, [channels] * 4),
            "model.transformer_module": mask2former.Mask2FormerTransformerModule(HEAD["feature_size"], config),
            "class_predictor": torch.nn.Linear(HEAD["hidden_dim"], HEAD["num_labels"] + 1),
        }
        parts = {path: started(part, "seg", f"{path}.").to(dtype).requires_grad_() for path, part in parts.items()}
        self.fusion, self.pixels, self.decoder, self.classes = parts.values()
        self.weights = {"loss_cross_entropy": config.class_weight, "loss_mask": config.mask_weight, "loss_dice": config.dice_weight}
        self.criterion = mask2former.Mask2FormerLoss(config, self.weights).to(dtype)
        self.maps: dict[str, torch.Tensor] = {}
        tapped = [self.vae.encoder.down_blocks[1], self.vae.encoder.down_blocks[3], *self.unet.up_blocks]
        for i, module in enumerate(tapped):
            module.register_forward_hook(lambda _module, _inputs, out, i=i: self.maps.update({i: out}))
        backbone = [*trained_of(self.unet).values(), *self.fusion.parameters()]
        head = [p for part in (self.pixels, self.decoder, self.classes) for p in part.parameters()]
        groups = [(backbone, LEARNING_RATE * BACKBONE_FACTOR), (head, LEARNING_RATE)]
        self.optimizer = Optimizer([dict(params=params, lr=rate, weight_decay=DECAY) for params, rate in groups], CLIP)
        self.schedule = torch.optim.lr_scheduler.PolynomialLR(self.optimizer.optimizer, total_iters=STEPS, power=0.9)

    def predicted(self, image: torch.Tensor, text: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Each layer's."""
        latents = self.vae.encode(image).latent_dist.mean * SCALING
        self.unet(latents, 1, text)
        levels = self.fusion(list(self.maps[i] for i in range(len(DIMS))), image.shape[2:])
        seen = self.pixels([levels[stride] for stride in sorted(levels)], output_hidden_states=True, return_dict=True)
        found = self.decoder(seen.multi_scale_features, seen.mask_features)
        queries = [x.transpose(0, 1) for x in found.intermediate_hidden_states]
        return [dict(class_queries_logits=self.classes(q), masks_queries_logits=m) for q, m in zip(queries, found.masks_queries_logits)]

    def step(self, step: int) -> dict[str, torch.Tensor]:
        batch = step % 2
        image = drawn(f"image {batch}", (BATCH, 3, SIDE, SIDE)).to(self.dtype)
        text = drawn(f"text {batch}", (BATCH, TOKENS, UNET["cross_attention_dim"]), 1.7).to(self.dtype)
        labels = [labels_of(f"labels {batch} {b}", SIDE) for b in range(BATCH)]
        classes = [torch.tensor(sorted(set(each.flatten().tolist()) - {255})) for each in labels]
        masks = [torch.stack([each == c for c in cs]).to(self.dtype) for each, cs in zip(labels, classes)]
        *auxiliary, last = self.predicted(image, text)
        with patch.object(torch, "rand", points(step, self.dtype)):
            found = self.criterion(**last, mask_labels=masks, class_labels=classes, auxiliary_predictions=auxiliary)
        loss = sum(weight * value for kind, weight in self.weights.items() for name, value in found.items() if kind in name)
        norm = self.optimizer.step(loss)
        self.schedule.step()
        terms = {"crossEntropy": found["loss_cross_entropy"], "mask": found["loss_mask"], "dice": found["loss_dice"]}
        return {"loss": loss, **terms, "norm": norm}


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = dict(unet=UNET, vae=VAE, rank=RANK, alpha=ALPHA, tokens=TOKENS, side=SIDE, head=HEAD, fusion=FUSION, dims=DIMS)
    config |= dict(points=POINTS, seed=SEED, rate=LEARNING_RATE, factor=BACKBONE_FACTOR, decay=DECAY, clip=CLIP)
    trajectory("rass/training-seg", StageTwo, config)
