import { checkOptions, listOf, type OptionRules, text } from '@rass/kernels/options';
import type { Activation } from './activation.ts';
import { type DiffusersUnetConfig, unetRules } from './config-fields.ts';
import { readDiffusersConfig } from './diffusers-config.ts';

/** The spatial transformers of a block, one after each residual block. */
export interface BlockAttentionConfig {
  readonly heads: number;
  /** Width of the text tokens, D. */
  readonly textWidth: number;
  /** How many transformer blocks each spatial transformer has. */
  readonly layers: readonly number[];
  /** Both attentions of a transformer block look at the text, none at the image itself. */
  readonly onlyCross: boolean;
}

export interface BlockConfig {
  /** Channels that come out of each of its parts. */
  readonly channels: number;
  readonly resnets: number;
  readonly attention?: BlockAttentionConfig;
}

export type ClassConfig =
  | { readonly kind: 'table'; readonly classes: number }
  | { readonly kind: 'timestep' | 'identity' }
  | { readonly kind: 'projection' | 'simple_projection'; readonly width: number };

/** What a UNet2DConditionModel is, one entry for each block. All blocks but the last halve or double the size. */
export interface UnetConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Rows and columns of the latents that the model was trained on. */
  readonly sampleSize?: readonly [number, number];
  /** Map samples from [0, 1] to [-1, 1] first. */
  readonly centerInputSample: boolean;
  readonly convInKernel: number;
  readonly convOutKernel: number;
  readonly activation: Activation;
  readonly normGroups: number;
  readonly normEpsilon: number;
  /** Zeros around a downsampler's input; 0 means one row below and one column on the right. */
  readonly downsamplePadding: number;
  /** The residual blocks of the middle block divide their output by it. */
  readonly midBlockScale: number;
  /** Spatial transformers project by linear layers; otherwise by 1 x 1 convolutions, which checkpoints keep as such. */
  readonly linearProjection: boolean;
  /** The time embedding scales features as well as shifting them. */
  readonly timeScales: boolean;
  readonly time: {
    /** Width of the sinusoid. */
    readonly sinusoid: number;
    readonly width: number;
    readonly cosineFirst: boolean;
    readonly frequencyShift: number;
    readonly postActivation?: Activation;
    /** Applied once to the sum of all embeddings. */
    readonly activation?: Activation;
  };
  readonly classes?: ClassConfig;
  /** The class embedding goes beside the time embedding, not on top of it. */
  readonly classesConcatenated: boolean;
  readonly downBlocks: readonly BlockConfig[];
  readonly midBlock?: BlockConfig;
  readonly upBlocks: readonly BlockConfig[];
}

const spread = <T>(value: T | readonly T[], blocks: number): readonly T[] =>
  Array.isArray(value) ? value : Array<T>(blocks).fill(value as T);

const simple = (name: 'silu' | 'swish' | 'gelu' | 'relu' | 'mish'): Activation => (name === 'swish' ? 'silu' : name);

/** @throws when a list does not have one entry for each block */
function checkLengths(c: DiffusersUnetConfig): void {
  const blocks = c.block_out_channels.length;
  const lists: (keyof DiffusersUnetConfig)[] = [
    'down_block_types',
    'up_block_types',
    'only_cross_attention',
    'layers_per_block',
    'attention_head_dim',
    'cross_attention_dim',
    'transformer_layers_per_block',
    'reverse_transformer_layers_per_block',
  ];
  for (const name of lists) {
    const value = c[name];
    if (!Array.isArray(value) || value.length === blocks) continue;
    throw new Error(
      `unet: ${name} has one entry for each of block_out_channels; got ${value.length} and ${blocks}; correct config.json`,
    );
  }
  const nested = spread<number | number[]>(c.transformer_layers_per_block, blocks).some(Array.isArray);
  if (nested && c.reverse_transformer_layers_per_block === null) {
    throw new Error(
      'unet: transformer_layers_per_block with lists inside says nothing of the up blocks; got no reverse_transformer_layers_per_block; correct config.json',
    );
  }
}

/** @throws when a block's channels do not divide into heads or groups */
function checkDivisions(config: UnetConfig): void {
  const blocks = [...config.downBlocks, ...config.upBlocks, ...(config.midBlock ? [config.midBlock] : [])];
  for (const { channels, attention } of blocks) {
    if (channels % config.normGroups !== 0) {
      throw new Error(
        `unet: block_out_channels divide into norm_num_groups; got ${channels} and ${config.normGroups}; correct config.json`,
      );
    }
    if (attention !== undefined && channels % attention.heads !== 0) {
      throw new Error(
        `unet: block_out_channels divide into heads (attention_head_dim says how many); got ${channels} and ${attention.heads}; correct config.json`,
      );
    }
  }
}

function blockConfigs(c: DiffusersUnetConfig): Pick<UnetConfig, 'downBlocks' | 'midBlock' | 'upBlocks'> {
  const blocks = c.block_out_channels.length;
  const layers = spread(c.layers_per_block, blocks);
  // The trap of diffusers' configs: attention_head_dim is the number of heads, not the width of one.
  const heads = spread(c.attention_head_dim, blocks);
  const textWidths = spread(c.cross_attention_dim, blocks);
  const onlyCross = spread(c.only_cross_attention, blocks);
  const depths = spread<number | number[]>(c.transformer_layers_per_block, blocks);
  const upDepths = c.reverse_transformer_layers_per_block ?? depths.toReversed();
  const attention = (block: number, depth: number | number[], resnets: number, cross: boolean) => ({
    heads: heads[block],
    textWidth: textWidths[block],
    layers: spread(depth, resnets).slice(0, resnets),
    onlyCross: cross,
  });
  const downBlocks = c.down_block_types.map((type, i) => ({
    channels: c.block_out_channels[i],
    resnets: layers[i],
    attention: type === 'DownBlock2D' ? undefined : attention(i, depths[i], layers[i], onlyCross[i]),
  }));
  const upBlocks = c.up_block_types.map((type, i) => {
    const mirrored = blocks - 1 - i;
    const resnets = layers[mirrored] + 1;
    return {
      channels: c.block_out_channels[mirrored],
      resnets,
      attention: type === 'UpBlock2D' ? undefined : attention(mirrored, upDepths[i], resnets, onlyCross[mirrored]),
    };
  });
  const last = blocks - 1;
  const channels = c.block_out_channels[last];
  if (c.mid_block_type === null) return { downBlocks, upBlocks };
  // only_cross_attention does not reach the middle block.
  const midBlock =
    c.mid_block_type === 'UNetMidBlock2D'
      ? { channels, resnets: 1 }
      : { channels, resnets: 2, attention: attention(last, depths[last], 1, false) };
  return { downBlocks, midBlock, upBlocks };
}

function classConfig(c: DiffusersUnetConfig): ClassConfig | undefined {
  const { class_embed_type: kind, num_class_embeds: classes, projection_class_embeddings_input_dim: width } = c;
  if (kind === null && classes === null && c.class_embeddings_concat) {
    throw new Error(
      'unet: class_embeddings_concat joins a class embedding to the time embedding; got neither class_embed_type nor num_class_embeds; correct config.json',
    );
  }
  if (kind === null) return classes === null ? undefined : { kind: 'table', classes };
  if (kind === 'timestep' || kind === 'identity') return { kind };
  if (width === null) {
    throw new Error(
      `unet: class_embed_type ${kind} needs projection_class_embeddings_input_dim; got null; correct config.json`,
    );
  }
  return { kind, width };
}

/** @throws when the waves of the time embedding would divide by 0 */
function checkShift({ sinusoid, frequencyShift }: UnetConfig['time']): void {
  const half = Math.floor(sinusoid / 2);
  if (half === 0 || half !== frequencyShift) return;
  throw new Error(
    `unet: freq_shift is other than half of block_out_channels' first, ${half}; got ${frequencyShift}; correct config.json`,
  );
}

export interface UnetConfigOptions {
  /** Unknown or refused fields that the caller knows not to matter. */
  ignore?: readonly string[];
}

const UNET_CONFIG_OPTIONS_RULES: OptionRules<UnetConfigOptions> = { ignore: listOf(text) };

/** Reads diffusers' unet/config.json, unchanged; what is absent has diffusers' default.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source diffusers UNet2DConditionModel */
export function parseUnetConfig(json: unknown, options: UnetConfigOptions = {}): UnetConfig {
  checkOptions('parseUnetConfig', options, UNET_CONFIG_OPTIONS_RULES);
  const { ignore = [] } = options;
  const c = readDiffusersConfig(json, unetRules, ignore);
  checkLengths(c);
  const sinusoid = c.block_out_channels[0];
  const config: UnetConfig = {
    inChannels: c.in_channels,
    outChannels: c.out_channels,
    sampleSize: typeof c.sample_size === 'number' ? [c.sample_size, c.sample_size] : (c.sample_size ?? undefined),
    centerInputSample: c.center_input_sample,
    convInKernel: c.conv_in_kernel,
    convOutKernel: c.conv_out_kernel,
    activation: simple(c.act_fn),
    normGroups: c.norm_num_groups,
    normEpsilon: c.norm_eps,
    downsamplePadding: c.downsample_padding,
    midBlockScale: c.mid_block_scale_factor,
    linearProjection: c.use_linear_projection,
    timeScales: c.resnet_time_scale_shift === 'scale_shift',
    time: {
      sinusoid,
      width: c.time_embedding_dim ?? 4 * sinusoid,
      cosineFirst: c.flip_sin_to_cos,
      frequencyShift: c.freq_shift,
      postActivation: c.timestep_post_act === null ? undefined : simple(c.timestep_post_act),
      activation: c.time_embedding_act_fn === null ? undefined : simple(c.time_embedding_act_fn),
    },
    classes: classConfig(c),
    classesConcatenated: c.class_embeddings_concat,
    ...blockConfigs(c),
  };
  checkDivisions(config);
  checkShift(config.time);
  return config;
}
