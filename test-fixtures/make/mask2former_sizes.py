"""Gradients of transformers' Mask2Former for one image of six sizes, from the file that mask2former.py wrote: mask2former/sizes holds the
images in bytes, gradients of some weights, and the lengths of the gradients of all, which do not hang on a weight's layout. They are of one
number: the mean of each layer's logits times sines, by their place."""
import torch
from transformers import Mask2FormerForUniversalSegmentation

from common import GOLDEN, save_case, seeded
from mask2former import state_names

# Of 32 rows and columns there is one place in the last map, where a norm over a channel's places has no gradient; of two it is all but gone.
SIZES = [(64, 64), (96, 32), (32, 96), (64, 96), (40, 56), (72, 48)]
GRADIENTS = [
    "model.pixel_level_module.encoder.embeddings.patch_embeddings.projection.weight",
    "model.pixel_level_module.decoder.level_embed",
    "model.pixel_level_module.decoder.encoder.layers.0.self_attn.sampling_offsets.bias",
    "model.pixel_level_module.decoder.adapter_1.0.weight",
    "model.transformer_module.queries_features.weight",
    "model.transformer_module.decoder.layers.0.cross_attn.in_proj_bias",
    "model.transformer_module.decoder.layernorm.weight",
    "class_predictor.weight",
]
# The backbone's names in memory, and in the file.
IN_FILE = {
    ".attention.q_proj.": ".attention.self.query.",
    ".attention.k_proj.": ".attention.self.key.",
    ".attention.v_proj.": ".attention.self.value.",
    ".attention.o_proj.": ".attention.output.dense.",
    ".attention.relative_position_bias.": ".attention.self.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
# A byte means (byte / 255 - 0.5) * CONTRAST.
CONTRAST = 4.0


def sines(shape: torch.Size) -> torch.Tensor:
    return torch.sin(torch.arange(shape.numel(), dtype=torch.float64) * 0.7).float().reshape(shape)


def file_name(key: str) -> str:
    for memory, file in IN_FILE.items():
        if ".encoder.encoder.layers." in key:
            key = key.replace(memory, file)
    return key


def main() -> None:
    model = Mask2FormerForUniversalSegmentation.from_pretrained(GOLDEN / "mask2former" / "model", dtype=torch.float32).eval()
    names = {file_name(key): p for key, p in state_names(model).items()}
    tensors, generator, lengths = {}, seeded(41), []
    for rows, columns in SIZES:
        pixels = torch.randint(0, 256, (1, 3, rows, columns), generator=generator, dtype=torch.uint8)
        result = model(pixel_values=(pixels.float() / 255 - 0.5) * CONTRAST, output_auxiliary_logits=True)
        loss = sum((x * sines(x.shape)).mean() for layer in [*result.auxiliary_logits, result]
                   for x in (layer["class_queries_logits"], layer["masks_queries_logits"]))
        gradients = dict(zip(names, torch.autograd.grad(loss, list(names.values()), allow_unused=True)))
        lengths.append({key: float(g.double().norm()) for key, g in gradients.items() if g is not None})
        at = f"{rows}x{columns}"
        tensors |= {f"in/pixels.{at}": pixels, f"out/loss.{at}": loss}
        tensors |= {f"grad/{at}/{key}": gradients[key] for key in GRADIENTS}
    order = sorted(lengths[0])
    tensors["out/lengths"] = torch.tensor([[each[key] for key in order] for each in lengths])
    save_case("mask2former/sizes", tensors, dict(sizes=SIZES, contrast=CONTRAST, order=order))


if __name__ == "__main__":
    main()
