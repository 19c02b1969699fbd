import { MOST } from '@rass/nn';
import * as v from 'valibot';
import type { ConfigRules } from './diffusers-config.ts';

const COUNT = 'is a whole number from 1 up';
const SWITCH = 'is true or false';
const upTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));
const count = upTo(MOST.size);
const counts = v.array(count);
const layerCount = upTo(MOST.layers);
const layerCounts = v.array(layerCount);
const MOST_KERNEL = 99;
const PADDING = 'is a whole number from 0 up';
const padding = v.pipe(
  v.number(PADDING),
  v.integer(PADDING),
  v.minValue(0, PADDING),
  v.maxValue(MOST_KERNEL, `is at most ${MOST_KERNEL}`),
);
const toggle = v.boolean(SWITCH);
const PER_BLOCK = 'is a whole number from 1 up, or one for each block';
const countPerBlock = v.union([count, counts], PER_BLOCK);
const LAYERS = 'is a whole number from 1 up, one for each block, or a list of them for each block';
const layers = v.array(v.union([layerCount, layerCounts]), LAYERS);
const layersPerBlock = v.union([layerCount, layerCounts], PER_BLOCK);
const ACTIVATIONS = 'is silu, swish, gelu, relu or mish';
const activation = v.pipe(
  v.string(ACTIVATIONS),
  v.toLowerCase(),
  v.picklist(['silu', 'swish', 'gelu', 'relu', 'mish'], ACTIVATIONS),
);
const FINITE = 'is a finite number';
const number = v.pipe(v.number(FINITE), v.finite(FINITE));
const EPSILON = 'is a number from 0 up';
const epsilon = v.pipe(v.number(EPSILON), v.finite(EPSILON), v.minValue(0, EPSILON));
const DIVISOR = 'is a number other than 0';
const divisor = v.pipe(v.number(DIVISOR), v.finite(DIVISOR), v.notValue(0, DIVISOR));
const CHANNELS = 'is a list of at least one whole number from 1 up';
const DOWN = ['CrossAttnDownBlock2D', 'DownBlock2D'] as const;
const UP = ['CrossAttnUpBlock2D', 'UpBlock2D'] as const;
const MID = ['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D'] as const;
const CLASSES = ['timestep', 'identity', 'projection', 'simple_projection'] as const;
const listOf = <const Names extends readonly string[]>(names: Names) => {
  const message = `is a list of ${names.join(' and ')}`;
  return v.array(v.picklist(names, message), message);
};

/** diffusers' defaults. @source diffusers UNet2DConditionModel.__init__ */
const fields = v.object({
  sample_size: v.optional(
    v.nullable(v.union([count, v.strictTuple([count, count])], 'is a whole number from 1 up, or rows and columns')),
    null,
  ),
  in_channels: v.optional(count, 4),
  out_channels: v.optional(count, 4),
  center_input_sample: v.optional(toggle, false),
  flip_sin_to_cos: v.optional(toggle, true),
  freq_shift: v.optional(number, 0),
  down_block_types: v.optional(listOf(DOWN), [DOWN[0], DOWN[0], DOWN[0], DOWN[1]]),
  mid_block_type: v.optional(v.nullable(v.picklist(MID, `is ${MID.join(', ')} or null`)), MID[0]),
  up_block_types: v.optional(listOf(UP), [UP[1], UP[0], UP[0], UP[0]]),
  only_cross_attention: v.optional(
    v.union([toggle, v.array(toggle)], 'is true or false, or one of them for each block'),
    false,
  ),
  block_out_channels: v.optional(
    v.pipe(
      v.array(count, CHANNELS),
      v.minLength(1, CHANNELS),
      v.maxLength(MOST.levels, `has at most ${MOST.levels} entries`),
    ),
    [320, 640, 1280, 1280],
  ),
  layers_per_block: v.optional(layersPerBlock, 2),
  downsample_padding: v.optional(padding, 1),
  mid_block_scale_factor: v.optional(divisor, 1),
  act_fn: v.optional(activation, 'silu'),
  norm_num_groups: v.optional(count, 32),
  norm_eps: v.optional(epsilon, 1e-5),
  cross_attention_dim: v.optional(countPerBlock, 1280),
  transformer_layers_per_block: v.optional(v.union([layerCount, layers], LAYERS), 1),
  reverse_transformer_layers_per_block: v.optional(v.nullable(layers), null),
  attention_head_dim: v.optional(countPerBlock, 8),
  use_linear_projection: v.optional(toggle, false),
  class_embed_type: v.optional(v.nullable(v.picklist(CLASSES, `is ${CLASSES.join(', ')} or null`)), null),
  num_class_embeds: v.optional(v.nullable(count), null),
  projection_class_embeddings_input_dim: v.optional(v.nullable(count), null),
  class_embeddings_concat: v.optional(toggle, false),
  resnet_time_scale_shift: v.optional(v.picklist(['default', 'scale_shift'], 'is default or scale_shift'), 'default'),
  time_embedding_dim: v.optional(v.nullable(count), null),
  time_embedding_act_fn: v.optional(v.nullable(activation), null),
  timestep_post_act: v.optional(v.nullable(activation), null),
  conv_in_kernel: v.optional(upTo(MOST_KERNEL), 3),
  conv_out_kernel: v.optional(upTo(MOST_KERNEL), 3),
});

/** A config.json with the defaults filled in. */
export type DiffusersUnetConfig = v.InferOutput<typeof fields>;

export const unetRules: ConfigRules<(typeof fields)['entries']> = {
  where: 'unet',
  classes: ['UNet2DConditionModel'],
  fields,
  refused: {
    dropout: [0],
    encoder_hid_dim: [null],
    encoder_hid_dim_type: [null],
    // diffusers refuses this one too: attention_head_dim is what says the number of heads.
    num_attention_heads: [null],
    dual_cross_attention: [false],
    addition_embed_type: [null],
    addition_time_embed_dim: [null],
    resnet_skip_time_act: [false],
    resnet_out_scale_factor: [1],
    time_embedding_type: ['positional'],
    time_cond_proj_dim: [null],
    attention_type: ['default'],
    cross_attention_norm: [null],
  },
  idle: [
    // All arithmetic is float32, so there is nothing to cast up.
    'upcast_attention',
    // Both belong to block types and embeddings that are refused by their own fields.
    'mid_block_only_cross_attention',
    'addition_embed_type_num_heads',
    // What diffusers' EMAModel leaves behind when it saves averaged weights.
    'decay',
    'inv_gamma',
    'min_decay',
    'optimization_step',
    'power',
    'update_after_step',
    'use_ema_warmup',
  ],
  remedy: 'this package runs the UNets of Stable Diffusion 1.x and 2.x',
};
