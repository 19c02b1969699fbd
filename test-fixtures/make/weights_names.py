"""Which key of a single-file Stable Diffusion checkpoint is which key of diffusers and transformers, for SD 1.5 and 2.1.

test-fixtures/golden/weights/names-<version>.tsv: part, key in the single file, key in diffusers, shape in the file, shape in
diffusers, and the rows taken where a fused tensor is split. The single files' key lists are written out here from the original
models' structure, at full size and without values (PyTorch's meta device); diffusers' own converters rename them, and the
result must be exactly the state dict of the diffusers or transformers model.
"""
from __future__ import annotations

import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as converters
from transformers import CLIPTextConfig, CLIPTextModel

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "weights"
Keys = dict[str, torch.Tensor]

UNETS = {
    "sd1": dict(cross_attention_dim=768, attention_head_dim=8),
    "sd2": dict(cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True),
}
TEXTS = {
    "sd1": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768),
    "sd2": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, projection_dim=512),
}


class Writer:
    """Writes a state dict of meta tensors down by hand."""

    def __init__(self) -> None:
        self.keys: Keys = {}

    def tensor(self, key: str, *shape: int) -> None:
        # An element-wise copy of each would cost gigabytes; a meta tensor has a shape alone.
        self.keys[key] = torch.empty(shape, device="meta")

    def norm(self, key: str, channels: int) -> None:
        self.tensor(f"{key}.weight", channels)
        self.tensor(f"{key}.bias", channels)

    def linear(self, key: str, inputs: int, outputs: int, bias: bool = True) -> None:
        self.tensor(f"{key}.weight", outputs, inputs)
        if bias:
            self.tensor(f"{key}.bias", outputs)

    def conv(self, key: str, inputs: int, outputs: int, kernel: int = 3) -> None:
        self.tensor(f"{key}.weight", outputs, inputs, kernel, kernel)
        self.tensor(f"{key}.bias", outputs)


def unet_resnet(w: Writer, key: str, inputs: int, outputs: int) -> None:
    w.norm(f"{key}.in_layers.0", inputs)
    w.conv(f"{key}.in_layers.2", inputs, outputs)
    w.linear(f"{key}.emb_layers.1", 1280, outputs)
    w.norm(f"{key}.out_layers.0", outputs)
    w.conv(f"{key}.out_layers.3", outputs, outputs)
    if inputs != outputs:
        w.conv(f"{key}.skip_connection", inputs, outputs, 1)


def unet_transformer(w: Writer, key: str, channels: int, context: int, linear: bool) -> None:
    w.norm(f"{key}.norm", channels)
    project = w.linear if linear else lambda k, i, o: w.conv(k, i, o, 1)
    project(f"{key}.proj_in", channels, channels)
    block = f"{key}.transformer_blocks.0"
    for attention, width in (("attn1", channels), ("attn2", context)):
        w.linear(f"{block}.{attention}.to_q", channels, channels, bias=False)
        w.linear(f"{block}.{attention}.to_k", width, channels, bias=False)
        w.linear(f"{block}.{attention}.to_v", width, channels, bias=False)
        w.linear(f"{block}.{attention}.to_out.0", channels, channels)
    w.linear(f"{block}.ff.net.0.proj", channels, 8 * channels)
    w.linear(f"{block}.ff.net.2", 4 * channels, channels)
    for norm in ("norm1", "norm2", "norm3"):
        w.norm(f"{block}.{norm}", channels)
    project(f"{key}.proj_out", channels, channels)


def original_unet(context: int, linear: bool) -> Keys:
    """The UNetModel of latent-diffusion: 4 levels of 2 residual blocks, attention on the first three."""
    w, channels, root = Writer(), [320, 640, 1280, 1280], "model.diffusion_model"
    w.linear(f"{root}.time_embed.0", 320, 1280)
    w.linear(f"{root}.time_embed.2", 1280, 1280)
    w.conv(f"{root}.input_blocks.0.0", 4, 320)
    skips, block, width = [320], 1, 320
    for level, size in enumerate(channels):
        for _ in range(2):
            unet_resnet(w, f"{root}.input_blocks.{block}.0", width, size)
            if level < 3:
                unet_transformer(w, f"{root}.input_blocks.{block}.1", size, context, linear)
            width, block = size, block + 1
            skips.append(width)
        if level < 3:
            w.conv(f"{root}.input_blocks.{block}.0.op", width, width)
            skips.append(width)
            block += 1
    unet_resnet(w, f"{root}.middle_block.0", width, width)
    unet_transformer(w, f"{root}.middle_block.1", width, context, linear)
    unet_resnet(w, f"{root}.middle_block.2", width, width)
    block = 0
    for level in reversed(range(4)):
        for i in range(3):
            unet_resnet(w, f"{root}.output_blocks.{block}.0", width + skips.pop(), channels[level])
            width, place = channels[level], 1
            if level < 3:
                unet_transformer(w, f"{root}.output_blocks.{block}.1", width, context, linear)
                place = 2
            if i == 2 and level > 0:
                w.conv(f"{root}.output_blocks.{block}.{place}.conv", width, width)
            block += 1
    w.norm(f"{root}.out.0", width)
    w.conv(f"{root}.out.2", width, 4)
    return w.keys


def vae_resnet(w: Writer, key: str, inputs: int, outputs: int) -> None:
    w.norm(f"{key}.norm1", inputs)
    w.conv(f"{key}.conv1", inputs, outputs)
    w.norm(f"{key}.norm2", outputs)
    w.conv(f"{key}.conv2", outputs, outputs)
    if inputs != outputs:
        w.conv(f"{key}.nin_shortcut", inputs, outputs, 1)


def vae_middle(w: Writer, key: str, channels: int) -> None:
    vae_resnet(w, f"{key}.block_1", channels, channels)
    w.norm(f"{key}.attn_1.norm", channels)
    for name in ("q", "k", "v", "proj_out"):
        w.conv(f"{key}.attn_1.{name}", channels, channels, 1)
    vae_resnet(w, f"{key}.block_2", channels, channels)


def original_vae() -> Keys:
    """The AutoencoderKL of latent-diffusion: `encoder.down.0..3`, `decoder.up.3..0`."""
    w, channels, root = Writer(), [128, 256, 512, 512], "first_stage_model"
    w.conv(f"{root}.encoder.conv_in", 3, 128)
    width = 128
    for level, size in enumerate(channels):
        for i in range(2):
            vae_resnet(w, f"{root}.encoder.down.{level}.block.{i}", width, size)
            width = size
        if level < 3:
            w.conv(f"{root}.encoder.down.{level}.downsample.conv", width, width)
    vae_middle(w, f"{root}.encoder.mid", width)
    w.norm(f"{root}.encoder.norm_out", width)
    w.conv(f"{root}.encoder.conv_out", width, 8)
    w.conv(f"{root}.decoder.conv_in", 4, width)
    vae_middle(w, f"{root}.decoder.mid", width)
    for level in reversed(range(4)):
        for i in range(3):
            vae_resnet(w, f"{root}.decoder.up.{level}.block.{i}", width, channels[level])
            width = channels[level]
        if level > 0:
            w.conv(f"{root}.decoder.up.{level}.upsample.conv", width, width)
    w.norm(f"{root}.decoder.norm_out", width)
    w.conv(f"{root}.decoder.conv_out", width, 3)
    w.conv(f"{root}.quant_conv", 8, 8, 1)
    w.conv(f"{root}.post_quant_conv", 4, 4, 1)
    return w.keys


def original_text(version: str) -> Keys:
    """SD 1: transformers' own CLIPTextModel under a prefix. SD 2: OpenCLIP's text tower, whose last block is not used."""
    w, c = Writer(), TEXTS[version]
    width, inner = c["hidden_size"], c["intermediate_size"]
    if version == "sd1":
        root = "cond_stage_model.transformer.text_model"
        w.tensor(f"{root}.embeddings.position_ids", 1, 77)
        w.tensor(f"{root}.embeddings.token_embedding.weight", 49408, width)
        w.tensor(f"{root}.embeddings.position_embedding.weight", 77, width)
        for i in range(12):
            layer = f"{root}.encoder.layers.{i}"
            for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
                w.linear(f"{layer}.self_attn.{name}", width, width)
            w.norm(f"{layer}.layer_norm1", width)
            w.linear(f"{layer}.mlp.fc1", width, inner)
            w.linear(f"{layer}.mlp.fc2", inner, width)
            w.norm(f"{layer}.layer_norm2", width)
        w.norm(f"{root}.final_layer_norm", width)
        return w.keys
    root = "cond_stage_model.model"
    w.tensor(f"{root}.positional_embedding", 77, width)
    w.tensor(f"{root}.text_projection", width, width)
    w.tensor(f"{root}.logit_scale")
    for i in range(24):
        layer = f"{root}.transformer.resblocks.{i}"
        w.norm(f"{layer}.ln_1", width)
        w.tensor(f"{layer}.attn.in_proj_weight", 3 * width, width)
        w.tensor(f"{layer}.attn.in_proj_bias", 3 * width)
        w.linear(f"{layer}.attn.out_proj", width, width)
        w.norm(f"{layer}.ln_2", width)
        w.linear(f"{layer}.mlp.c_fc", width, inner)
        w.linear(f"{layer}.mlp.c_proj", inner, width)
    w.tensor(f"{root}.token_embedding.weight", 49408, width)
    w.norm(f"{root}.ln_final", width)
    return w.keys


def shapes(keys: Keys) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in keys.items()}


class Traced(torch.Tensor):
    """A meta tensor that remembers which key it comes from and which of its rows it is."""

    source: str
    rows: tuple[int, int] | None

    @classmethod
    def of(cls, tensor: torch.Tensor, source: str, rows: tuple[int, int] | None) -> "Traced":
        traced = tensor.as_subclass(cls)
        traced.source, traced.rows = source, rows
        return traced

    def __getitem__(self, index):
        first = index[0] if isinstance(index, tuple) else index
        rows = self.rows
        if isinstance(first, slice) and first != slice(None):
            start, stop, _ = first.indices(self.shape[0])
            rows = (start, stop)
        return Traced.of(torch.Tensor.__getitem__(self.as_subclass(torch.Tensor), index), self.source, rows)

    def clone(self, *args, **kwargs):
        return self

    def detach(self):
        return self


def convert(version: str) -> tuple[list[str], list[str]]:
    context = UNETS[version]["cross_attention_dim"]
    original = {**original_unet(context, version == "sd2"), **original_vae(), **original_text(version)}
    traced = {key: Traced.of(tensor, key, None) for key, tensor in original.items()}
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS[version])
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, layers_per_block=2,
            up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4,
        )
        text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **TEXTS[version]))
    converted = {
        "unet": converters.convert_ldm_unet_checkpoint(traced, unet.config),
        "vae": converters.convert_ldm_vae_checkpoint(traced, vae.config),
        "text_encoder": converters.convert_ldm_clip_checkpoint(traced)
        if version == "sd1"
        else converters.convert_open_clip_checkpoint(text, traced),
    }
    # transformers 5 writes a text model without the `text_model.` of every file that is published.
    text_state = {f"text_model.{key}": tensor for key, tensor in text.state_dict().items()}
    expected = {"unet": unet.state_dict(), "vae": vae.state_dict(), "text_encoder": text_state}
    rows, used = [], set()
    for part, result in converted.items():
        result = {key: tensor for key, tensor in result.items() if not key.endswith("position_ids")}
        if shapes(result) != shapes(expected[part]):
            differing = set(shapes(result).items()) ^ set(shapes(expected[part]).items())
            raise SystemExit(f"{version} {part}: the converter's keys are not the model's: {sorted(differing)[:6]}")
        for key, tensor in result.items():
            used.add(tensor.source)
            sizes = [" ".join(map(str, shape)) for shape in (original[tensor.source].shape, tensor.shape)]
            split = "" if tensor.rows is None else f"{tensor.rows[0]} {tensor.rows[1]}"
            rows.append("\t".join([part, tensor.source, key, *sizes, split]))
    unused = [f"-\t{key}\t\t{' '.join(map(str, original[key].shape))}\t\t" for key in original if key not in used]
    return sorted(rows), sorted(unused)


def main() -> None:
    for version in UNETS:
        rows, unused = convert(version)
        path = FOLDER / f"names-{version}.tsv"
        path.write_text("\n".join(rows + unused) + "\n")
        print(f"weights/names-{version}: {len(rows)} keys, {len(unused)} unused, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
