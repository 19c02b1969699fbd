import { type Checkpoint, type RenameRule, renamedCheckpoint, type ViewEntry, viewCheckpoint } from '@rass/weights';

const PIXEL = 'model.pixel_level_module.decoder';
const TRANSFORMER = 'model.transformer_module';

/** From the names below sem_seg_head.pixel_decoder. */
const PIXEL_DECODER: readonly (readonly [theirs: string, ours: string])[] = [
  ['input_proj.{level}.{part}.{leaf}', 'input_projections.{level}.{part}.{leaf}'],
  ['transformer.level_embed', 'level_embed'],
  ['transformer.encoder.layers.{i}.self_attn.{layer}.{leaf}', 'encoder.layers.{i}.self_attn.{layer}.{leaf}'],
  ['transformer.encoder.layers.{i}.norm1.{leaf}', 'encoder.layers.{i}.self_attn_layer_norm.{leaf}'],
  ['transformer.encoder.layers.{i}.linear1.{leaf}', 'encoder.layers.{i}.fc1.{leaf}'],
  ['transformer.encoder.layers.{i}.linear2.{leaf}', 'encoder.layers.{i}.fc2.{leaf}'],
  ['transformer.encoder.layers.{i}.norm2.{leaf}', 'encoder.layers.{i}.final_layer_norm.{leaf}'],
  ['mask_features.{leaf}', 'mask_projection.{leaf}'],
  ['adapter_1.weight', 'adapter_1.0.weight'],
  ['adapter_1.norm.{leaf}', 'adapter_1.1.{leaf}'],
  ['layer_1.weight', 'layer_1.0.weight'],
  ['layer_1.norm.{leaf}', 'layer_1.1.{leaf}'],
];

/** From the names below sem_seg_head.predictor. */
const PREDICTOR: readonly (readonly [theirs: string, ours: string])[] = [
  // Split in three afterwards.
  ['transformer_self_attention_layers.{i}.self_attn.{leaf*}', 'decoder.layers.{i}.self_attn.{leaf*}'],
  ['transformer_self_attention_layers.{i}.norm.{leaf}', 'decoder.layers.{i}.self_attn_layer_norm.{leaf}'],
  ['transformer_cross_attention_layers.{i}.multihead_attn.{leaf*}', 'decoder.layers.{i}.cross_attn.{leaf*}'],
  ['transformer_cross_attention_layers.{i}.norm.{leaf}', 'decoder.layers.{i}.cross_attn_layer_norm.{leaf}'],
  ['transformer_ffn_layers.{i}.linear1.{leaf}', 'decoder.layers.{i}.fc1.{leaf}'],
  ['transformer_ffn_layers.{i}.linear2.{leaf}', 'decoder.layers.{i}.fc2.{leaf}'],
  ['transformer_ffn_layers.{i}.norm.{leaf}', 'decoder.layers.{i}.final_layer_norm.{leaf}'],
  ['decoder_norm.{leaf}', 'decoder.layernorm.{leaf}'],
  ['query_feat.weight', 'queries_features.weight'],
  // What the first published checkpoints call it.
  ['static_query.weight', 'queries_features.weight'],
  ['query_embed.weight', 'queries_embedder.weight'],
  ['level_embed.weight', 'level_embed.weight'],
  ['input_proj.{i}.{leaf}', 'input_projections.{i}.{leaf}'],
  ['mask_embed.layers.{i}.{leaf}', 'decoder.mask_predictor.mask_embedder.{i}.0.{leaf}'],
];

const HEAD: readonly RenameRule[] = [
  ...PIXEL_DECODER.map(([theirs, ours]) => ({
    template: `sem_seg_head.pixel_decoder.${theirs}`,
    to: `${PIXEL}.${ours}`,
  })),
  ...PREDICTOR.map(([theirs, ours]) => ({
    template: `sem_seg_head.predictor.${theirs}`,
    to: `${TRANSFORMER}.${ours}`,
  })),
  { template: 'sem_seg_head.predictor.class_embed.{leaf}', to: 'class_predictor.{leaf}' },
];

const SELF_ATTENTION = /^(.*\.decoder\.layers\.\d+\.self_attn)\.in_proj_(weight|bias)$/;
const PARTS = ['q_proj', 'k_proj', 'v_proj'];

/** One tensor of queries', keys' and values' projections becomes three, as Hugging Face has them. */
function splitSelfAttention(checkpoint: Checkpoint): Checkpoint {
  const entries = new Map<string, ViewEntry>();
  for (const key of checkpoint.keys()) {
    const [, path, leaf] = SELF_ATTENTION.exec(key) ?? [];
    if (path === undefined) {
      entries.set(key, { key });
      continue;
    }
    const width = checkpoint.info(key).shape[0] / PARTS.length;
    for (const [i, part] of PARTS.entries()) {
      entries.set(`${path}.${part}.${leaf}`, { key, rows: [i * width, (i + 1) * width] });
    }
  }
  return viewCheckpoint(checkpoint, entries);
}

/** A checkpoint of detectron2's Mask2Former with its head under Hugging Face's names; what is not of the head keeps its own.
 * Nothing is copied. @throws WeightsError where two keys would have one name
 * @source facebookresearch/Mask2Former; transformers convert_mask2former_original_pytorch_checkpoint_to_pytorch.py */
export function detectron2Head(checkpoint: Checkpoint): Checkpoint {
  return splitSelfAttention(renamedCheckpoint(checkpoint, [HEAD]));
}
