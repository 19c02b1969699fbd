"""A small Stable Diffusion and what RASS's released code saves of it, under all of its names: scr.pkl, model_final.pth with the frozen parts and the
taggers in it, the same with what was trained alone, and files of other programs; with the scores that PyTorch finds.
Argument: the folder to write into."""
import copy
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "make"))
from lora import TARGETS  # noqa: E402
from mask2former import detectron2_head  # noqa: E402
from rass_training import PLACES, RANK, SCALING, SIDE, TOKENS, UNET, VAE, drawn, started, with_adapters  # noqa: E402
from rass_training_seg import FUSION, HEAD, SIDE, StageTwo  # noqa: E402,F811

TEXT = dict(vocab_size=99, hidden_size=6, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=77)
SCHEDULER = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
out = pathlib.Path(sys.argv[1])


def save_base(folder: pathlib.Path, unet: torch.nn.Module, dtype: torch.dtype = torch.float32) -> None:
    for name, model in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        copy.deepcopy(model).to(dtype).save_pretrained(folder / name)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))


def moved(unet: torch.nn.Module, stage: str) -> torch.nn.Module:
    """The first convolution, which both stages train."""
    with torch.no_grad():
        for name, p in unet.conv_in.named_parameters():
            if "lora" not in name:
                p.add_(drawn(f"{stage} {name}", p.shape, 0.1))
    return unet


def scr_file(unet: torch.nn.Module) -> dict:
    state = {key: p.clone() for key, p in unet.state_dict().items() if "lora" in key or "conv_in" in key}
    of = {place: [key.split(".lora_A.")[0] for key in state if f".lora_A.default_{place}." in key] for place in PLACES}
    return {"rank_unet": RANK, **{f"unet_lora_{place}_modules": found for place, found in of.items()}, "state_dict_unet": state}


base = started(UNet2DConditionModel(**UNET), "unet")
vae = started(AutoencoderKL(**VAE), "vae")
text_encoder = CLIPTextModel(CLIPTextConfig(**TEXT)).eval()
save_base(out / "base", base)
save_base(out / "base-half", base, torch.float16)
save_base(out / "other-base", started(UNet2DConditionModel(**UNET), "other"))
save_base(out / "narrow-base", UNet2DConditionModel(**UNET | {"cross_attention_dim": 4}))

restoring = moved(with_adapters(copy.deepcopy(base), "scr", [*TARGETS, "conv_out"]), "one")
scr = scr_file(restoring)
torch.save(scr, out / "scr.pkl")
other = copy.deepcopy(restoring)
with torch.no_grad():
    for key, p in other.named_parameters():
        if ".lora_B." in key:
            p.mul_(1.5)
torch.save(scr_file(other), out / "other-scr.pkl")
# OSEDiff's has an adapter of the autoencoder, PiSA-SR's six adapters.
first = {f"encoder.conv_in.lora_{each}.default_encoder.weight": torch.ones(2, 2, 1, 1) for each in "AB"}
torch.save(scr | {"rank_vae": RANK, "vae_lora_encoder_modules": ["encoder.conv_in"], "state_dict_vae": first}, out / "osediff.pkl")
pisa = {f"lora_rank_unet_{each}": RANK for each in ("pix", "sem")}
pisa["state_dict_unet"] = {key.replace(".weight", f"_{each}.weight"): p for key, p in scr["state_dict_unet"].items() if "lora" in key for each in ("pix", "sem")}
torch.save(pisa, out / "pisa.pkl")
short = {key: p for key, p in scr["state_dict_unet"].items() if "proj_in" not in key}
torch.save(scr | {"state_dict_unet": short}, out / "short-scr.pkl")

restoring.fuse_lora()
restoring.unload_lora()
two = StageTwo(torch.float32)
two.unet = moved(with_adapters(restoring, "scr", TARGETS, "_s2"), "two")
for i, block in enumerate(two.unet.up_blocks):
    block.register_forward_hook(lambda _module, _inputs, made, i=i: two.maps.update({2 + i: made}))
image, text = drawn("image", (1, 3, SIDE, SIDE)), drawn("text", (1, TOKENS, UNET["cross_attention_dim"]), 1.7)
with torch.no_grad():
    found = two.predicted(image, text)[-1]
    masks = F.interpolate(found["masks_queries_logits"], size=(SIDE, SIDE), mode="bilinear", align_corners=False).sigmoid()
    classes = found["class_queries_logits"].softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bhwc", classes, masks)

head = detectron2_head(two.pixels, two.decoder, two.classes)
trained = {f"backbone.feature_extractor.{key}": p for key, p in two.fusion.state_dict().items()} | head
of_unet = {f"sd.unet.{key}": p for key, p in two.unet.state_dict().items()}
frozen = {f"sd.{name}.{key}": p for name, model in (("vae", vae), ("text_encoder", text_encoder)) for key, p in model.state_dict().items()}
taggers = {
    "criterion.empty_weight": torch.ones(HEAD["num_labels"] + 1),
    "ram.visual_encoder.patch_embed.proj.weight": torch.ones(4, 3, 4, 4),
    "ram.tagging_head.encoder.layer.0.crossattention.self.query.weight": torch.ones(4, 4),
    "DAPE.visual_encoder.layers.0.blocks.0.attn.qkv.lora_A.default.weight": torch.ones(2, 4),
    "DAPE.visual_encoder.layers.0.blocks.0.attn.qkv.base_layer.weight": torch.ones(12, 4),
}


def save(name: str, model: dict) -> None:
    rest = {"iteration": 7, "optimizer": {"state": {}, "param_groups": []}, "scheduler": {"last_epoch": 7}}
    torch.save({"model": {key: p.detach().clone() for key, p in model.items()}, **rest}, out / name)


save("model_final.pth", of_unet | frozen | taggers | trained)
own = {key: p for key, p in of_unet.items() if ".lora_" in key or ".conv_in." in key}
save("trained-alone.pth", own | trained)
cut = {key: p for key, p in of_unet.items() if "time_embedding" not in key}
save("cut.pth", cut | frozen | taggers | trained)
vaes = {key: p + 0.1 if key.startswith("sd.vae.decoder") else p for key, p in frozen.items()}
save("other-vae.pth", of_unet | vaes | taggers | trained)
tensors = {"image": image.permute(0, 2, 3, 1), "text": text, "scores": scores}
save_file({key: p.contiguous() for key, p in tensors.items()}, out / "expected.safetensors")
(out / "head.json").write_text(json.dumps({key: value for key, value in HEAD.items() if key != "num_labels"}))
(out / "fusion.json").write_text(json.dumps(FUSION))
(out / "classes.json").write_text(json.dumps([{"name": f"class {i}", "colour": [i, i, i]} for i in range(HEAD["num_labels"])]))
print(json.dumps({"scaling": SCALING, "keys": len(of_unet | frozen | taggers | trained)}))
