"""Writes a model's UNet and VAE decoder as ONNX graphs: export_onnx.py <model> <latents> <out>, all in float32."""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

TIMESTEP = 1
TOKENS = 77


class Step(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, text):
        return self.unet(sample, torch.tensor(TIMESTEP), text, return_dict=False)[0]


class Decode(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latents):
        return self.vae.decode(latents, return_dict=False)[0]


def export(module, inputs, file):
    names = list(inputs)
    torch.onnx.export(
        module.eval(),
        tuple(inputs.values()),
        file,
        input_names=names,
        output_names=["out"],
        opset_version=18,
        dynamo=False,
    )


def main(folder, size, out):
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)
    sample = torch.randn(1, unet.config.in_channels, size, size)
    text = torch.randn(1, TOKENS, unet.config.cross_attention_dim)
    latents = torch.randn(1, vae.config.latent_channels, size, size)
    with torch.no_grad():
        export(Step(unet), {"sample": sample, "text": text}, os.path.join(out, "unet.onnx"))
        export(Decode(vae), {"latents": latents}, os.path.join(out, "decoder.onnx"))
    print(json.dumps({"torch": torch.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
