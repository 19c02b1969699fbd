import { checkOptions, listOf, type OptionRules, text } from '@rass/kernels/options';
import * as v from 'valibot';
import { checkObject, count, layerCount, type Refuse, readConfig, refuseAs } from './config-fields.ts';

/** What a Mask2Former head is: the pixel decoder and the masked-attention decoder, on features of any backbone. */
export interface Mask2FormerHeadConfig {
  /** Channels of the pixel decoder, a multiple of 32. */
  readonly featureSize: number;
  /** Channels of the features that the queries' mask embeddings are multiplied with. */
  readonly maskFeatureSize: number;
  /** Width of the queries. */
  readonly hiddenDim: number;
  readonly heads: number;
  /** Layers of deformable attention in the pixel decoder. */
  readonly encoderLayers: number;
  readonly encoderFeedforwardDim: number;
  /** Layers of masked attention; Hugging Face's `decoder_layers` is one more. */
  readonly decoderLayers: number;
  readonly feedforwardDim: number;
  readonly activation: 'relu' | 'gelu' | 'silu';
  /** Whether the decoder normalises before its parts instead of after them. */
  readonly preNorm: boolean;
  /** Whether features are projected to the queries' width where they have it already. */
  readonly enforceInputProjection: boolean;
  readonly queries: number;
  /** Classes, without "no object". */
  readonly classes: number;
}

/** The published head, for a number of classes. @source Cheng et al. 2022, arXiv 2112.01527 */
export function mask2FormerHeadConfig(classes: number): Mask2FormerHeadConfig {
  return headConfig(v.parse(v.object(fields), {}), classes);
}

const flag = v.boolean('is true or false');
const ACTIVATIONS = 'is relu, gelu or silu';

/** transformers' defaults. @source transformers 5.23 Mask2FormerConfig */
const fields = {
  feature_size: v.optional(count, 256),
  mask_feature_size: v.optional(count, 256),
  hidden_dim: v.optional(count, 256),
  encoder_feedforward_dim: v.optional(count, 1024),
  activation_function: v.optional(v.picklist(['relu', 'gelu', 'silu'], ACTIVATIONS), 'relu'),
  encoder_layers: v.optional(layerCount, 6),
  decoder_layers: v.optional(v.pipe(layerCount, v.minValue(2, 'is 2 or more')), 10),
  num_attention_heads: v.optional(count, 8),
  dim_feedforward: v.optional(count, 2048),
  pre_norm: v.optional(flag, false),
  enforce_input_projection: v.optional(flag, false),
  num_queries: v.optional(count, 100),
  num_labels: v.optional(count),
  id2label: v.optional(v.record(v.string(), v.string(), 'is an object of class names')),
};

type Fields = v.InferOutput<v.ObjectSchema<typeof fields, undefined>>;

/** Values without which features would be other ones: only these are implemented. */
const fixed: Readonly<Record<string, string>> = {
  common_stride: '4',
  feature_strides: '[4,8,16,32]',
  model_type: '"mask2former"',
};

/** Fields of other parts (backbone, criterion), of training and of files. */
const elsewhere = (
  'backbone_config backbone use_timm_backbone use_pretrained_backbone backbone_kwargs no_object_weight class_weight ' +
  'mask_weight dice_weight train_num_points oversample_ratio importance_sample_ratio ignore_value dropout init_std ' +
  'init_xavier_std use_auxiliary_loss output_auxiliary_logits hidden_size num_hidden_layers initializer_range'
).split(' ');

export interface Mask2FormerConfigOptions {
  /** Unknown fields that do not matter. */
  readonly ignore?: readonly string[];
}

const refuse: Refuse = refuseAs('mask2Former', 'config.json');

function checkWidths(c: Fields): void {
  if (c.feature_size % 32 !== 0) refuse('feature_size divides into 32 groups', c.feature_size);
  for (const name of ['feature_size', 'hidden_dim'] as const) {
    if (c[name] % c.num_attention_heads !== 0) {
      refuse(`${name} divides into num_attention_heads, ${c.num_attention_heads}`, c[name]);
    }
    // Half of the position embedding's sines and cosines are of the rows, half of the columns.
    if (c[name] % 4 !== 0) refuse(`${name} divides by 4`, c[name]);
  }
}

function headConfig(c: Fields, classes: number): Mask2FormerHeadConfig {
  return {
    featureSize: c.feature_size,
    maskFeatureSize: c.mask_feature_size,
    hiddenDim: c.hidden_dim,
    heads: c.num_attention_heads,
    encoderLayers: c.encoder_layers,
    encoderFeedforwardDim: c.encoder_feedforward_dim,
    decoderLayers: c.decoder_layers - 1,
    feedforwardDim: c.dim_feedforward,
    activation: c.activation_function,
    preNorm: c.pre_norm,
    enforceInputProjection: c.enforce_input_projection,
    queries: c.num_queries,
    classes,
  };
}

const MASK2_FORMER_CONFIG_OPTIONS_RULES: OptionRules<Mask2FormerConfigOptions> = { ignore: listOf(text) };

/** Reads the head's part of transformers' config.json, unchanged; what is absent has transformers' default. The backbone's
 * part, `backbone_config`, is read by its own parser.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source transformers 5.23 Mask2FormerConfig */
export function parseMask2FormerConfig(json: unknown, options: Mask2FormerConfigOptions = {}): Mask2FormerHeadConfig {
  checkOptions('parseMask2FormerConfig', options, MASK2_FORMER_CONFIG_OPTIONS_RULES);
  const { ignore = [] } = options;
  checkObject(json, refuse, 'parse config.json with JSON.parse first');
  const c = readConfig(json, { fields, fixed, elsewhere, ignore, refuse });
  checkWidths(c);
  // transformers writes the class names and derives their number; its default is two classes.
  const named = c.id2label === undefined ? undefined : Object.keys(c.id2label).length;
  if (named !== undefined && c.num_labels !== undefined && named !== c.num_labels) {
    refuse('num_labels is the number of names in id2label', [c.num_labels, named]);
  }
  return headConfig(c, named ?? c.num_labels ?? 2);
}
