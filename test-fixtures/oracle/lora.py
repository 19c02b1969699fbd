"""Reads adapters that @rass/lora wrote with peft and diffusers, lays them over the UNet of the case `unet/sd2` and prints its output.

arguments: a JSON list of {"format": "peft" | "diffusers" | "kohya", "path": ...}; prints a list of outputs, each flat [1, H, W, C], and how many
layers each adapter is on.
"""
import json
import pathlib
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "make"))

from diffusers.loaders import StableDiffusionLoraLoaderMixin  # noqa: E402
from peft import PeftModel  # noqa: E402

from lora import base, inputs  # noqa: E402


def adapted(kind: str, path: str):
    model = base().float()
    if kind == "peft":
        return PeftModel.from_pretrained(model, path)
    state, alphas, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(path, unet_config=model.config, return_lora_metadata=True)
    StableDiffusionLoraLoaderMixin.load_lora_into_unet(state, network_alphas=alphas, unet=model, metadata=metadata)
    return model


outputs, layers = [], []
sample, text = (t.float() for t in inputs(60))
for file in json.loads(sys.argv[1]):
    model = adapted(file["format"], file["path"]).eval()
    layers.append(sum(hasattr(m, "lora_A") and len(m.lora_A) > 0 for m in model.modules()))
    with torch.no_grad():
        out = model(sample, 7, text).sample
    outputs.append(out.permute(0, 2, 3, 1).flatten().tolist())
print(json.dumps({"outputs": outputs, "layers": layers}))
