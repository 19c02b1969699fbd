import { checkOptions, listOf, type OptionRules, text } from '@rass/kernels/options';
import * as v from 'valibot';
import { checkObject, count, countUpTo, layerCount, type Refuse, readConfig, refuseAs } from '../config-fields.ts';
import type { PyramidChannels } from './pyramid.ts';

/** What a Swin transformer is. */
export interface SwinConfig {
  /** Pixels of a patch's side. */
  readonly patchSize: number;
  readonly inputChannels: number;
  /** Channels of the first stage; each stage doubles them. */
  readonly width: number;
  /** Blocks of each of the four stages. */
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  /** Patches of a window's side. */
  readonly windowSize: number;
  readonly mlpRatio: number;
  readonly qkvBias: boolean;
  readonly activation: 'gelu' | 'relu' | 'silu';
  readonly normEpsilon: number;
}

const STAGES = 4;
const perStage = (each: typeof count) =>
  v.pipe(v.array(each, 'is a list of numbers'), v.length(STAGES, 'has four numbers, one for each stage'));
const positive = v.pipe(v.number('is a number'), v.finite('is a finite number'), v.gtValue(0, 'is above 0'));
// A window's table of positions is made before its shape is compared.
const MOST_WINDOW = 256;

/** transformers' defaults. @source transformers 5.23 SwinConfig */
const fields = {
  patch_size: v.optional(v.pipe(count, v.value(4, 'is 4: other strides are not implemented')), 4),
  num_channels: v.optional(count, 3),
  embed_dim: v.optional(count, 96),
  depths: v.optional(perStage(layerCount), [2, 2, 6, 2]),
  num_heads: v.optional(perStage(count), [3, 6, 12, 24]),
  window_size: v.optional(countUpTo(MOST_WINDOW), 7),
  mlp_ratio: v.optional(v.pipe(positive, v.maxValue(1000, 'is at most 1000')), 4),
  qkv_bias: v.optional(v.boolean('is true or false'), true),
  hidden_act: v.optional(v.picklist(['gelu', 'relu', 'silu'], 'is gelu, relu or silu'), 'gelu'),
  layer_norm_eps: v.optional(positive, 1e-5),
};

/** Values without which features would be other ones: only these are implemented. */
const fixed: Readonly<Record<string, string>> = {
  model_type: '"swin"',
  use_absolute_embeddings: 'false',
  out_features: '["stage1","stage2","stage3","stage4"]',
  out_indices: '[1,2,3,4]',
};

/** Fields of training, of other uses and of files. */
const idle = (
  'image_size drop_path_rate hidden_dropout_prob attention_probs_dropout_prob initializer_range encoder_stride num_layers ' +
  'hidden_size stage_names path_norm patch_norm'
).split(' ');

const refuse: Refuse = refuseAs('swin', 'backbone_config');

const SWIN_OPTIONS_RULES: OptionRules<{ readonly ignore?: readonly string[] }> = { ignore: listOf(text) };

/** Reads the `backbone_config` of a Mask2Former's config.json, unchanged; what is absent has transformers' default.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source transformers 5.23 SwinConfig */
export function parseSwinConfig(json: unknown, options: { readonly ignore?: readonly string[] } = {}): SwinConfig {
  checkOptions('parseSwinConfig', options, SWIN_OPTIONS_RULES);
  const { ignore = [] } = options;
  checkObject(json, refuse, 'give backbone_config of config.json');
  const c = readConfig(json, { fields, fixed, elsewhere: idle, ignore, refuse });
  for (const [stage, heads] of c.num_heads.entries()) {
    const width = c.embed_dim * 2 ** stage;
    if (width % heads !== 0) refuse(`stage ${stage + 1} has ${width} channels, which divide into its heads`, heads);
  }
  return {
    patchSize: c.patch_size,
    inputChannels: c.num_channels,
    width: c.embed_dim,
    depths: c.depths,
    heads: c.num_heads,
    windowSize: c.window_size,
    mlpRatio: c.mlp_ratio,
    qkvBias: c.qkv_bias,
    activation: c.hidden_act,
    normEpsilon: c.layer_norm_eps,
  };
}

/** How many channels each level of a Swin's features has. */
export function swinChannels({ width }: SwinConfig): PyramidChannels {
  return { res2: width, res3: 2 * width, res4: 4 * width, res5: 8 * width };
}
