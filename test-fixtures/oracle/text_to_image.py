"""diffusers' own text-to-image pipeline on a tiny random model, for the example that does the same.

Reads vocab.json, merges.txt and noise.f32 ([1, 16, 16, 4]) in the folder that is its argument; writes the pipeline to
model/ there and the picture, [32, 32, 3] in 0..1, to image.f32.
"""
import pathlib
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPT = "a red house under a tree"


def pipeline(folder: pathlib.Path) -> StableDiffusionPipeline:
    torch.manual_seed(0)
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, hidden_act="gelu",
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, attention_head_dim=[2, 4], cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8, use_linear_projection=True,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=8,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False,
    )  # fmt: skip
    return StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), unet=unet, scheduler=scheduler, safety_checker=None, feature_extractor=None,
        tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="!", model_max_length=77),
        requires_safety_checker=False,
    )  # fmt: skip


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    noise = np.fromfile(folder / "noise.f32", dtype=np.float32).reshape(1, 16, 16, 4)
    pipe = pipeline(folder)
    pipe.save_pretrained(folder / "model")
    pipe.set_progress_bar_config(disable=True)
    latents = torch.from_numpy(noise).permute(0, 3, 1, 2).contiguous()
    image = pipe(
        PROMPT, num_inference_steps=10, guidance_scale=7.5, height=32, width=32, latents=latents, output_type="np"
    ).images[0]
    image.astype(np.float32).tofile(folder / "image.f32")
