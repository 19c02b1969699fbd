"""Writes the tensors of a model's stages as RASS's code saves them: scr.pkl, and a checkpoint of detectron2's trainer.
Arguments: scr.safetensors, seg.safetensors, where to write scr.pkl, where to write model_final.pth, the LoRA's rank."""
import sys

import torch
from safetensors.torch import load_file

scr, seg, scr_out, seg_out, rank = sys.argv[1:]

tensors = load_file(scr)
modules = {place: [] for place in ("encoder", "decoder", "others")}
for key in tensors:
    if ".lora_A." in key:
        place = key.split(".lora_A.default_")[1].split(".")[0]
        modules[place].append(key.split(".lora_A.")[0])
torch.save({
    "rank_unet": int(rank),
    **{f"unet_lora_{place}_modules": found for place, found in modules.items()},
    "state_dict_unet": tensors,
}, scr_out)

model = {}
for key, tensor in load_file(seg).items():
    if ".lora_" in key or key.startswith("conv_in."):
        # PEFT wraps a layer that an adapter is on.
        key = key.replace("conv_in.weight", "conv_in.base_layer.weight").replace("conv_in.bias", "conv_in.base_layer.bias")
        key = f"backbone.feature_extractor.ldm.unet.{key}"
    model[key] = tensor
# What else lies in such a file.
model["backbone.feature_extractor.ldm.first.encoder.conv_in.weight"] = torch.zeros(4, 3, 3, 3)
model["backbone.feature_extractor.ldm.first.encoder.conv_in.bias"] = torch.zeros(4)
torch.save({"model": model, "iteration": 7, "optimizer": {"state": {}, "param_groups": []}}, seg_out)
