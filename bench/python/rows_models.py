"""Stable Diffusion 2.1's parts in diffusers, and Mask2Former in transformers, with random weights."""

import json
from pathlib import Path

import torch

CONFIGS = Path(__file__).parent.parent / "configs"
TIMESTEP = 1


def config(name):
    return json.loads((CONFIGS / f"{name}.json").read_text())


def without_gradients(forward):
    def run():
        with torch.no_grad():
            return forward()

    return run


def text_row():
    from transformers import CLIPTextConfig, CLIPTextModel

    model = CLIPTextModel(CLIPTextConfig(**config("text-encoder"))).eval()
    ids = torch.tensor([[49407 if i == 76 else 100 * i for i in range(77)]])
    return without_gradients(lambda: model(ids))


def unet_model():
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_config(config("unet"))


def unet_inputs(size):
    return torch.randn(1, 4, size, size), torch.randn(1, 77, 1024)


def unet_row(size, channels_last=False):
    model = unet_model().eval()
    sample, text = unet_inputs(size)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        sample = sample.to(memory_format=torch.channels_last)
    return without_gradients(lambda: model(sample, TIMESTEP, encoder_hidden_states=text))


def vae_model(channels_last=False):
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_config(config("vae")).eval()
    return model.to(memory_format=torch.channels_last) if channels_last else model


def encode_row(channels_last=False):
    model = vae_model(channels_last)
    image = torch.randn(1, 3, 512, 512)
    del model.decoder
    if channels_last:
        image = image.to(memory_format=torch.channels_last)
    return without_gradients(lambda: model.encode(image).latent_dist.mean)


def decode_row(channels_last=False):
    model = vae_model(channels_last)
    latents = torch.randn(1, 4, 64, 64)
    del model.encoder
    if channels_last:
        latents = latents.to(memory_format=torch.channels_last)
    return without_gradients(lambda: model.decode(latents).sample)


def training_row(size, frozen):
    """The gradients of a mean square by the inputs, and by all weights where they are not frozen."""
    model = unet_model().train()
    model.enable_gradient_checkpointing()
    model.requires_grad_(not frozen)
    sample, text = (x.requires_grad_() for x in unet_inputs(size))
    leaves = [sample, text, *([] if frozen else model.parameters())]

    def run():
        out = model(sample, TIMESTEP, encoder_hidden_states=text).sample
        gradients = torch.autograd.grad(out.square().mean(), leaves)
        return gradients

    return run


def lora_row(size):
    """The gradients of a mean square by RASS's Seg LoRA, the weights frozen."""
    from peft import LoraConfig, get_peft_model

    targets = (CONFIGS / "lora-targets.txt").read_text().split()
    model = unet_model().train()
    model.enable_gradient_checkpointing()
    model = get_peft_model(model, LoraConfig(r=4, init_lora_weights="gaussian", target_modules=targets))
    sample, text = unet_inputs(size)
    leaves = [p for p in model.parameters() if p.requires_grad]

    def run():
        out = model(sample, TIMESTEP, encoder_hidden_states=text).sample
        return torch.autograd.grad(out.square().mean(), leaves)

    return run


def mask2former_config(**fields):
    from transformers import Mask2FormerConfig

    return Mask2FormerConfig(num_labels=150, num_queries=100, **fields)


def mask2former_row():
    from transformers import Mask2FormerForUniversalSegmentation, SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    swin = SwinConfig(embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], window_size=12, out_features=stages)
    model = Mask2FormerForUniversalSegmentation(mask2former_config(backbone_config=swin)).eval()
    pixels = torch.randn(1, 3, 512, 512)
    return without_gradients(lambda: model(pixel_values=pixels))


def head_row():
    """The gradients of the mean squares of every layer's logits by all of the head's weights."""
    from transformers.models.mask2former import modeling_mask2former as parts

    config = mask2former_config()
    pixel = parts.Mask2FormerPixelDecoder(config, feature_channels=[512] * 4)
    torch.nn.init.normal_(pixel.level_embed)
    transformer = parts.Mask2FormerTransformerModule(in_features=config.feature_size, config=config)
    classes = torch.nn.Linear(config.hidden_dim, config.num_labels + 1)
    levels = [torch.randn(1, 512, size, size) for size in (128, 64, 32, 16)]
    leaves = [p for module in (pixel, transformer, classes) for p in module.parameters()]

    def run():
        decoded = pixel(levels, return_dict=True)
        out = transformer(decoded.multi_scale_features, decoded.mask_features, output_hidden_states=True)
        loss = sum(m.square().mean() for m in out.masks_queries_logits)
        loss = loss + sum(classes(x.transpose(0, 1)).square().mean() for x in out.intermediate_hidden_states)
        return torch.autograd.grad(loss, leaves)

    return run


ROWS = {
    "text-encoder": text_row,
    "unet": lambda: unet_row(64),
    "vae-encode": encode_row,
    "vae-decode": decode_row,
    "unet-frozen": lambda: training_row(32, frozen=True),
    "unet-training": lambda: training_row(32, frozen=False),
    "mask2former": mask2former_row,
    "mask2former-training": head_row,
    "unet-lora": lambda: lora_row(32),
}
