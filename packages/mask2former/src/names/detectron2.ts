import { type Checkpoint, type RenameRule, renamedCheckpoint, type ViewEntry, viewCheckpoint } from '@rass/weights';

const ENCODER = 'model.pixel_level_module.encoder';
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

/** Swin's, from the names below backbone. */
const BACKBONE: readonly (readonly [theirs: string, ours: string])[] = [
  ['patch_embed.proj.{leaf}', 'embeddings.patch_embeddings.projection.{leaf}'],
  ['patch_embed.norm.{leaf}', 'embeddings.norm.{leaf}'],
  ['layers.{stage}.blocks.{i}.norm1.{leaf}', 'encoder.layers.{stage}.blocks.{i}.layernorm_before.{leaf}'],
  ['layers.{stage}.blocks.{i}.attn.proj.{leaf}', 'encoder.layers.{stage}.blocks.{i}.attention.output.dense.{leaf}'],
  // `qkv` is split in three afterwards; the tables and indices stand beside it.
  ['layers.{stage}.blocks.{i}.attn.{leaf*}', 'encoder.layers.{stage}.blocks.{i}.attention.self.{leaf*}'],
  ['layers.{stage}.blocks.{i}.norm2.{leaf}', 'encoder.layers.{stage}.blocks.{i}.layernorm_after.{leaf}'],
  ['layers.{stage}.blocks.{i}.mlp.fc1.{leaf}', 'encoder.layers.{stage}.blocks.{i}.intermediate.dense.{leaf}'],
  ['layers.{stage}.blocks.{i}.mlp.fc2.{leaf}', 'encoder.layers.{stage}.blocks.{i}.output.dense.{leaf}'],
  ['layers.{stage}.downsample.{layer}.{leaf}', 'encoder.layers.{stage}.downsample.{layer}.{leaf}'],
  ...[0, 1, 2, 3].map((stage) => [`norm${stage}.{leaf}`, `hidden_states_norms.stage${stage + 1}.{leaf}`] as const),
];

const RULES: readonly RenameRule[] = [
  ...BACKBONE.map(([theirs, ours]) => ({ template: `backbone.${theirs}`, to: `${ENCODER}.${ours}` })),
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

/** Fused projections and what Hugging Face calls their three parts. */
const FUSED: readonly { readonly key: RegExp; readonly parts: readonly string[] }[] = [
  { key: /^(.*\.decoder\.layers\.\d+\.self_attn)\.in_proj_(weight|bias)$/, parts: ['q_proj', 'k_proj', 'v_proj'] },
  { key: /^(.*\.attention\.self)\.qkv\.(weight|bias)$/, parts: ['query', 'key', 'value'] },
];

/** One tensor of queries', keys' and values' projections becomes three. */
function splitProjections(checkpoint: Checkpoint): Checkpoint {
  const entries = new Map<string, ViewEntry>();
  for (const key of checkpoint.keys()) {
    const fused = FUSED.find((each) => each.key.test(key));
    if (fused === undefined) {
      entries.set(key, { key });
      continue;
    }
    const [, path, leaf] = fused.key.exec(key) as RegExpExecArray;
    const width = checkpoint.info(key).shape[0] / fused.parts.length;
    for (const [i, part] of fused.parts.entries()) {
      entries.set(`${path}.${part}.${leaf}`, { key, rows: [i * width, (i + 1) * width] });
    }
  }
  return viewCheckpoint(checkpoint, entries);
}

/** A checkpoint of detectron2's Mask2Former, its head and its Swin transformer, under Hugging Face's names; what is of neither keeps its
 * own. Nothing is copied. @throws WeightsError where two keys would have one name
 * @source facebookresearch/Mask2Former; transformers convert_mask2former_original_pytorch_checkpoint_to_pytorch.py */
export function detectron2Names(checkpoint: Checkpoint): Checkpoint {
  return splitProjections(renamedCheckpoint(checkpoint, [RULES]));
}
