"""Mask2Former of transformers with tiny configurations, as its own save_pretrained writes it: golden/mask2former/<case>/ holds
config.json and model.safetensors (half precision, so that both sides start from the same rounded weights), and <case>.safetensors the
inputs and what the model makes of them: features, pixel decoder's output, every layer's logits and gradients. The gradients are of one number,
the sum of all logits times fixed random ones. model-training is a step of training of the first case, model-segmentations what the image
processor makes of its outputs.
"""
import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

from common import GOLDEN, randomize, save_case, seeded

POINTS = 24
STAGES = ["stage1", "stage2", "stage3", "stage4"]
CONFIG_FIELDS = ["transformers_version", "_name_or_path"]


def tiny(swin: dict, **fields) -> Mask2FormerConfig:
    backbone = SwinConfig(depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], mlp_ratio=1.0, out_features=STAGES, **swin)
    common = dict(feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16, dim_feedforward=16,
                  num_queries=6, encoder_layers=2, decoder_layers=5, num_attention_heads=4, num_labels=3)
    return Mask2FormerConfig(backbone_config=backbone, **{**common, **fields})


CASES = {
    "model": (tiny(dict(embed_dim=4, window_size=4)), (32, 64), 31),
    # Before the parts instead of after, other widths in the decoder, another activation.
    "model-pre-norm": (
        tiny(dict(embed_dim=4, window_size=4), pre_norm=True, hidden_dim=16, mask_feature_size=24, encoder_layers=1,
             decoder_layers=3, activation_function="gelu", num_queries=5, num_labels=2),
        (64, 32), 32),
}
GRADIENTS = [
    "model.pixel_level_module.encoder.embeddings.patch_embeddings.projection.weight",
    "model.pixel_level_module.decoder.input_projections.0.0.weight",
    "model.pixel_level_module.decoder.level_embed",
    "model.pixel_level_module.decoder.encoder.layers.0.self_attn.sampling_offsets.bias",
    "model.pixel_level_module.decoder.encoder.layers.0.self_attn.attention_weights.weight",
    "model.pixel_level_module.decoder.encoder.layers.0.self_attn.value_proj.weight",
    "model.pixel_level_module.decoder.adapter_1.0.weight",
    "model.pixel_level_module.decoder.layer_1.1.weight",
    "model.pixel_level_module.decoder.mask_projection.bias",
    "model.transformer_module.queries_embedder.weight",
    "model.transformer_module.queries_features.weight",
    "model.transformer_module.level_embed.weight",
    "model.transformer_module.decoder.layers.0.cross_attn.in_proj_weight",
    "model.transformer_module.decoder.layers.0.cross_attn.in_proj_bias",
    "model.transformer_module.decoder.layers.1.self_attn.q_proj.weight",
    "model.transformer_module.decoder.layers.1.fc1.weight",
    "model.transformer_module.decoder.layernorm.weight",
    "model.transformer_module.decoder.mask_predictor.mask_embedder.1.0.weight",
    "class_predictor.weight",
]


def save_model(name: str, model: Mask2FormerForUniversalSegmentation) -> None:
    """config.json and model.safetensors, without what changes with transformers' version or the machine."""
    folder = GOLDEN / "mask2former" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    model.float()
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config["backbone_config"]):
        for field in CONFIG_FIELDS:
            part.pop(field, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    # In a fixed order, so that the file is the same each time.
    save_file(dict(sorted(load_file(folder / "model.safetensors").items())), folder / "model.safetensors", metadata={"format": "pt"})


def spread(model: Mask2FormerForUniversalSegmentation) -> None:
    """Untrained queries are much alike, and so would be their classes and masks: these are told apart more."""
    with torch.no_grad():
        model.model.transformer_module.queries_features.weight *= 15
        model.model.transformer_module.queries_embedder.weight *= 15
        model.class_predictor.weight *= 8


def round_to_half(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())


def main() -> None:
    for name, (config, (rows, columns), seed) in CASES.items():
        model = randomize(Mask2FormerForUniversalSegmentation(config), seed)
        spread(model)
        round_to_half(model)
        generator = seeded(seed)
        pixels = torch.randn(2, 3, rows, columns, generator=generator).requires_grad_()
        result = model(pixel_values=pixels, output_hidden_states=True, output_auxiliary_logits=True)
        tensors = {"in/pixels": pixels, "out/mask_features": result.pixel_decoder_last_hidden_state}
        for level, x in enumerate(result.encoder_hidden_states):
            tensors[f"out/res{level + 2}"] = x
        for level, x in enumerate(result.pixel_decoder_hidden_states):
            tensors[f"out/level.{level}"] = x
        layers = [*result.auxiliary_logits, result]
        loss = 0
        for i, layer in enumerate(layers):
            for kind in ("class_queries_logits", "masks_queries_logits"):
                x = layer[kind]
                tensors[f"out/{kind}.{i}"] = x
                # Factors of the masks are products, to keep the file small.
                if kind == "masks_queries_logits":
                    row, column = torch.randn(x.shape[2], generator=generator), torch.randn(x.shape[3], generator=generator)
                    query = torch.randn(x.shape[:2], generator=generator)
                    tensors |= {f"in/row.{i}": row, f"in/column.{i}": column, f"in/query.{i}": query}
                    r = query[:, :, None, None] * row[:, None] * column
                else:
                    tensors[f"in/class.{i}"] = r = torch.randn(x.shape, generator=generator)
                loss = loss + (x * r).sum() / x.numel()
        names = state_names(model)
        wanted = {key: names[key] for key in GRADIENTS if key in names}
        gradients = torch.autograd.grad(loss, [*wanted.values(), pixels], allow_unused=False)
        tensors |= {f"grad/{key}": g for key, g in zip([*wanted, "pixels"], gradients)}
        tensors["out/loss"] = loss
        save_model(name, model)
        if name == "model":
            save_detectron2(model)
            save_training(model, pixels.detach())
            save_segmentations(model, result)
        save_case(f"mask2former/{name}", tensors, {})


def save_training(model: Mask2FormerForUniversalSegmentation, pixels: torch.Tensor) -> None:
    """What a training step sees: the matching, the losses and the gradients, with the points that were drawn."""
    generator = seeded(33)
    model.criterion.num_points = model.criterion.matcher.num_points = POINTS
    size = pixels.shape[-2:]
    masks = [(torch.nn.functional.interpolate(torch.randn(1, n, 3, 4, generator=generator), size=size, mode="bilinear")[0] > 0.1).float() for n in (3, 2)]
    classes = [torch.randint(0, 3, (len(m),), generator=generator) for m in masks]
    drawn, matched, original = [], [], torch.rand
    match = model.criterion.matcher.forward

    def recorded(*shape, **_):
        drawn.append(original(*shape, generator=generator))
        return drawn[-1]

    def matching(*args, **kwargs):
        matched.append(match(*args, **kwargs))
        return matched[-1]

    torch.rand, model.criterion.matcher.forward = recorded, matching
    loss = model(pixel_values=pixels, mask_labels=masks, class_labels=classes).loss
    torch.rand, model.criterion.matcher.forward = original, match
    tensors, draws = {"out/loss": loss}, iter(drawn)
    layers = model.config.decoder_layers
    # The last layer is judged first.
    for place, layer in enumerate([layers - 1, *range(layers - 1)]):
        for image in range(len(masks)):
            tensors[f"in/matching.{layer}.{image}"] = next(draws)[0]
            rows, columns = matched[place][image]
            tensors |= {f"out/queries.{layer}.{image}": rows, f"out/targets.{layer}.{image}": columns}
        tensors |= {f"in/candidates.{layer}": next(draws), f"in/uniform.{layer}": next(draws)}
    for image in range(len(masks)):
        tensors |= {f"in/masks.{image}": masks[image], f"in/classes.{image}": classes[image]}
    names = state_names(model)
    for key, gradient in zip(GRADIENTS, torch.autograd.grad(loss, [names[key] for key in GRADIENTS])):
        tensors[f"grad/{key}"] = gradient
    save_case("mask2former/model-training", tensors, dict(points=POINTS))


def save_segmentations(model: Mask2FormerForUniversalSegmentation, result) -> None:
    """What the image processor makes of the outputs, with thresholds that leave some segments of these untrained queries."""
    processor, sizes = Mask2FormerImageProcessorPil(), [(32, 64), (50, 40)]
    semantic = processor.post_process_semantic_segmentation(result, target_sizes=sizes)
    # Each mask by itself: the order of instances, and so which covers which, is that of an unsorted topk, PyTorch's own business.
    instances = processor.post_process_instance_segmentation(result, threshold=0.1, target_sizes=sizes, return_binary_maps=True)
    panoptic = processor.post_process_panoptic_segmentation(result, threshold=0.1, mask_threshold=0.1, overlap_mask_area_threshold=0.1, label_ids_to_fuse=set(), target_sizes=sizes)
    tensors = {}
    for image in range(len(sizes)):
        tensors[f"out/semantic.{image}"] = semantic[image].int()
        tensors[f"out/instance.{image}"] = instances[image]["segmentation"].int()
        tensors[f"out/panoptic.{image}"] = panoptic[image]["segmentation"].int()
    segments = dict(instance=[r["segments_info"] for r in instances], panoptic=[r["segments_info"] for r in panoptic])
    save_case("mask2former/model-segmentations", tensors, dict(sizes=sizes, **segments))


def save_detectron2(model: torch.nn.Module) -> None:
    """The first case under the names of detectron2's Mask2Former, as its published checkpoints have them."""
    backbone = model.model.pixel_level_module.encoder
    pixel, transformer = model.model.pixel_level_module.decoder, model.model.transformer_module
    out: dict[str, torch.Tensor] = {}

    def put(theirs: str, module: torch.nn.Module) -> None:
        out.update({f"{theirs}.{key}": p for key, p in module.named_parameters(recurse=False)})

    put("backbone.patch_embed.proj", backbone.swin.embeddings.patch_embeddings.projection)
    put("backbone.patch_embed.norm", backbone.swin.embeddings.norm)
    for stage, layer in enumerate(backbone.swin.encoder.layers):
        put(f"backbone.norm{stage}", backbone.hidden_states_norms[f"stage{stage + 1}"])
        if layer.downsample is not None:
            put(f"backbone.layers.{stage}.downsample.reduction", layer.downsample.reduction)
            put(f"backbone.layers.{stage}.downsample.norm", layer.downsample.norm)
        for i, block in enumerate(layer.blocks):
            base, attention = f"backbone.layers.{stage}.blocks.{i}", block.attention
            qkv = [attention.q_proj, attention.k_proj, attention.v_proj]
            out[f"{base}.attn.qkv.weight"] = torch.cat([p.weight for p in qkv])
            out[f"{base}.attn.qkv.bias"] = torch.cat([p.bias for p in qkv])
            out[f"{base}.attn.relative_position_bias_table"] = attention.relative_position_bias.relative_position_bias_table
            put(f"{base}.attn.proj", attention.o_proj)
            put(f"{base}.norm1", block.layernorm_before)
            put(f"{base}.norm2", block.layernorm_after)
            put(f"{base}.mlp.fc1", block.mlp.fc1)
            put(f"{base}.mlp.fc2", block.mlp.fc2)
    # In half precision, as the other file.
    tensors = {key: p.detach().half().contiguous() for key, p in (out | detectron2_head(pixel, transformer, model.class_predictor)).items()}
    save_file(tensors, GOLDEN / "mask2former" / "model" / "detectron2.safetensors")


def detectron2_head(pixel: torch.nn.Module, transformer: torch.nn.Module, classes: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The head's parameters under detectron2's names."""
    out = {}

    def put(theirs: str, module: torch.nn.Module) -> None:
        out.update({f"{theirs}.{key}": p for key, p in module.named_parameters(recurse=False)})

    for i, projection in enumerate(pixel.input_projections):
        put(f"pixel_decoder.input_proj.{i}.0", projection[0])
        put(f"pixel_decoder.input_proj.{i}.1", projection[1])
    out["pixel_decoder.transformer.level_embed"] = pixel.level_embed
    for i, layer in enumerate(pixel.encoder.layers):
        base = f"pixel_decoder.transformer.encoder.layers.{i}"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            put(f"{base}.self_attn.{part}", getattr(layer.self_attn, part))
        put(f"{base}.norm1", layer.self_attn_layer_norm)
        put(f"{base}.linear1", layer.fc1)
        put(f"{base}.linear2", layer.fc2)
        put(f"{base}.norm2", layer.final_layer_norm)
    for theirs, ours in (("adapter_1", pixel.adapter_1), ("layer_1", pixel.layer_1)):
        put(f"pixel_decoder.{theirs}", ours[0])
        put(f"pixel_decoder.{theirs}.norm", ours[1])
    put("pixel_decoder.mask_features", pixel.mask_projection)
    for i, layer in enumerate(transformer.decoder.layers):
        projections = [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]
        attention = f"predictor.transformer_self_attention_layers.{i}"
        out[f"{attention}.self_attn.in_proj_weight"] = torch.cat([p.weight for p in projections])
        out[f"{attention}.self_attn.in_proj_bias"] = torch.cat([p.bias for p in projections])
        put(f"{attention}.self_attn.out_proj", layer.self_attn.out_proj)
        put(f"{attention}.norm", layer.self_attn_layer_norm)
        put(f"predictor.transformer_cross_attention_layers.{i}.multihead_attn", layer.cross_attn)
        put(f"predictor.transformer_cross_attention_layers.{i}.multihead_attn.out_proj", layer.cross_attn.out_proj)
        put(f"predictor.transformer_cross_attention_layers.{i}.norm", layer.cross_attn_layer_norm)
        put(f"predictor.transformer_ffn_layers.{i}.linear1", layer.fc1)
        put(f"predictor.transformer_ffn_layers.{i}.linear2", layer.fc2)
        put(f"predictor.transformer_ffn_layers.{i}.norm", layer.final_layer_norm)
    put("predictor.decoder_norm", transformer.decoder.layernorm)
    put("predictor.query_feat", transformer.queries_features)
    put("predictor.query_embed", transformer.queries_embedder)
    put("predictor.level_embed", transformer.level_embed)
    put("predictor.class_embed", classes)
    for i, block in enumerate(transformer.decoder.mask_predictor.mask_embedder.layers):
        put(f"predictor.mask_embed.layers.{i}", block.layers[0])
    return {f"sem_seg_head.{key}": p for key, p in out.items()}


def state_names(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters by the names of the file: transformers 5 calls the backbone's otherwise in memory."""
    names = {}
    for key, p in model.named_parameters():
        key = key.replace("pixel_level_module.encoder.swin.", "pixel_level_module.encoder.")
        names[key] = p
    return names


if __name__ == "__main__":
    main()
