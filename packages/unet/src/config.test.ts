import { createHash } from 'node:crypto';
import { countParams, namedTensors, shapeParams } from '@rass/nn';
import { loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { parseUnetConfig } from './config.ts';
import { unetRules } from './config-fields.ts';
import { unetParams } from './unet.ts';

const common = {
  _class_name: 'UNet2DConditionModel',
  act_fn: 'silu',
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
};
const second = {
  ...common,
  attention_head_dim: [5, 10, 20, 20],
  cross_attention_dim: 1024,
  dual_cross_attention: false,
  only_cross_attention: false,
  use_linear_projection: true,
};
/** The unet/config.json of published models, as their files say. */
const published = {
  'sd-1.5': { ...common, _diffusers_version: '0.6.0', attention_head_dim: 8, cross_attention_dim: 768 },
  'sd-2.1-base': { ...second, _diffusers_version: '0.10.0.dev0', num_class_embeds: null },
  'sd-2.1': {
    ...second,
    _diffusers_version: '0.10.0.dev0',
    num_class_embeds: null,
    sample_size: 96,
    upcast_attention: true,
  },
  'sd-turbo': {
    ...second,
    _diffusers_version: '0.24.0.dev0',
    addition_embed_type: null,
    addition_embed_type_num_heads: 64,
    addition_time_embed_dim: null,
    attention_type: 'default',
    class_embed_type: null,
    class_embeddings_concat: false,
    conv_in_kernel: 3,
    conv_out_kernel: 3,
    cross_attention_norm: null,
    dropout: 0.0,
    encoder_hid_dim: null,
    encoder_hid_dim_type: null,
    mid_block_only_cross_attention: null,
    mid_block_type: 'UNetMidBlock2DCrossAttn',
    num_attention_heads: null,
    num_class_embeds: null,
    projection_class_embeddings_input_dim: null,
    resnet_out_scale_factor: 1.0,
    resnet_skip_time_act: false,
    resnet_time_scale_shift: 'default',
    reverse_transformer_layers_per_block: null,
    time_cond_proj_dim: null,
    time_embedding_act_fn: null,
    time_embedding_dim: null,
    time_embedding_type: 'positional',
    timestep_post_act: null,
    transformer_layers_per_block: 1,
    upcast_attention: null as unknown,
  },
};

describe('full-size models, by shapes alone', () => {
  const { models } = loadGolden('unet/full-size').config;

  it.each([
    ['sd-1.5', 'sd-1.5', 859_520_964],
    ['sd-2.1-base', 'sd-2.1', 865_910_724],
    ['sd-2.1', 'sd-2.1', 865_910_724],
    ['sd-turbo', 'sd-2.1', 865_910_724],
  ] as const)("%s has diffusers' keys, shapes and count", (name, model, count) => {
    const { keys, parameters, sha256, some } = models[model];
    const lines: string[] = [];
    const from = shapeParams(({ key, checkpointShape }) => lines.push(`${key} ${checkpointShape.join('x')}`));
    const tree = unetParams(from, parseUnetConfig(published[name]));
    lines.sort();
    expect(lines.filter((_, i) => i % 17 === 0)).toEqual(some);
    expect(lines.length).toBe(keys);
    expect(createHash('sha256').update(lines.join('\n')).digest('hex')).toBe(sha256);
    expect(countParams(tree)).toBe(parameters);
    expect(parameters).toBe(count);
    expect(namedTensors(tree).length).toBe(keys);
  });
});

describe('parseUnetConfig', () => {
  it("knows every field of diffusers' UNet2DConditionModel", () => {
    const { fields } = loadGolden('unet/full-size').config;
    expect(fields.length).toBeGreaterThan(45);
    const known = [...Object.keys(unetRules.fields.entries), ...Object.keys(unetRules.refused), ...unetRules.idle];
    expect(fields.filter((name: string) => !known.includes(name))).toEqual([]);
    // The one that no file holds beside them is what diffusers' averaging of weights leaves there.
    expect(known.filter((name) => !fields.includes(name)).sort()).toEqual(
      'decay inv_gamma min_decay optimization_step power update_after_step use_ema_warmup'.split(' '),
    );
  });

  it("has diffusers' defaults: those of Stable Diffusion 1, but for the text", () => {
    const { _class_name, sample_size, cross_attention_dim, ...rest } = published['sd-1.5'];
    const defaults = parseUnetConfig({});
    expect(defaults).toEqual(parseUnetConfig({ ...rest, cross_attention_dim: 1280 }));
    expect([_class_name, sample_size, cross_attention_dim]).toEqual(['UNet2DConditionModel', 64, 768]);
    expect(defaults.sampleSize).toBeUndefined();
  });

  it('reads attention_head_dim as the number of heads', () => {
    const { downBlocks, midBlock, upBlocks } = parseUnetConfig(published['sd-2.1-base']);
    expect(downBlocks.map(({ attention }) => attention?.heads)).toEqual([5, 10, 20, undefined]);
    expect(midBlock?.attention?.heads).toBe(20);
    expect(upBlocks.map(({ attention }) => attention?.heads)).toEqual([undefined, 20, 10, 5]);
    expect(upBlocks.map(({ resnets }) => resnets)).toEqual([3, 3, 3, 3]);
  });

  it('mirrors lists for the way up', () => {
    const { downBlocks, upBlocks, midBlock } = parseUnetConfig({
      block_out_channels: [32, 64],
      down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
      up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
      layers_per_block: [1, 2],
      transformer_layers_per_block: [2, [3, 1]],
      reverse_transformer_layers_per_block: [4, [5, 6]],
      cross_attention_dim: [7, 9],
      only_cross_attention: [true, false],
      attention_head_dim: [2, 4],
      sample_size: [8, 16],
    });
    const shared = { onlyCross: true, textWidth: 7, heads: 2 };
    const own = { onlyCross: false, textWidth: 9, heads: 4 };
    expect(downBlocks.map(({ attention }) => attention)).toEqual([
      { ...shared, layers: [2] },
      { ...own, layers: [3, 1] },
    ]);
    expect(upBlocks.map(({ attention }) => attention)).toEqual([
      { ...own, layers: [4, 4, 4] },
      { ...shared, layers: [5, 6] },
    ]);
    expect(midBlock).toEqual({ channels: 64, resnets: 2, attention: { ...own, layers: [3] } });
  });

  const refusals: [string, object, string][] = [
    [
      'dual_cross_attention',
      { dual_cross_attention: true },
      'unet: dual_cross_attention true is not implemented; only false is; this package runs the UNets of Stable Diffusion 1.x and 2.x',
    ],
    ['dropout', { dropout: 0.1 }, 'unet: dropout 0.1 is not implemented; only 0 is'],
    ['encoder_hid_dim', { encoder_hid_dim: 4096 }, 'unet: encoder_hid_dim 4096 is not implemented; only null is'],
    [
      'encoder_hid_dim_type',
      { encoder_hid_dim_type: 'text_proj' },
      'unet: encoder_hid_dim_type "text_proj" is not implemented',
    ],
    ['num_attention_heads', { num_attention_heads: 8 }, 'unet: num_attention_heads 8 is not implemented; only null is'],
    [
      'addition_embed_type',
      { addition_embed_type: 'text_time' },
      'unet: addition_embed_type "text_time" is not implemented',
    ],
    [
      'addition_time_embed_dim',
      { addition_time_embed_dim: 256 },
      'unet: addition_time_embed_dim 256 is not implemented',
    ],
    ['resnet_skip_time_act', { resnet_skip_time_act: true }, 'unet: resnet_skip_time_act true is not implemented'],
    [
      'resnet_out_scale_factor',
      { resnet_out_scale_factor: 1.4 },
      'unet: resnet_out_scale_factor 1.4 is not implemented',
    ],
    [
      'time_embedding_type',
      { time_embedding_type: 'fourier' },
      'unet: time_embedding_type "fourier" is not implemented; only "positional" is',
    ],
    ['time_cond_proj_dim', { time_cond_proj_dim: 256 }, 'unet: time_cond_proj_dim 256 is not implemented'],
    [
      'attention_type',
      { attention_type: 'gated' },
      'unet: attention_type "gated" is not implemented; only "default" is',
    ],
    [
      'cross_attention_norm',
      { cross_attention_norm: 'layer_norm' },
      'unet: cross_attention_norm "layer_norm" is not implemented',
    ],
    [
      'a block type',
      { down_block_types: ['SimpleCrossAttnDownBlock2D'] },
      'unet: down_block_types is a list of CrossAttnDownBlock2D and DownBlock2D; got ["SimpleCrossAttnDownBlock2D"]; correct config.json',
    ],
    [
      'a middle block',
      { mid_block_type: 'UNetMidBlock2DSimpleCrossAttn' },
      'unet: mid_block_type is UNetMidBlock2DCrossAttn, UNetMidBlock2D or null; got "UNetMidBlock2DSimpleCrossAttn"',
    ],
    [
      'an activation',
      { act_fn: 'tanh' },
      'unet: act_fn is silu, swish, gelu, relu or mish; got "tanh"; correct config.json',
    ],
    ['no groups', { norm_num_groups: null }, 'unet: norm_num_groups is a whole number from 1 up; got null'],
    [
      'a wrong type',
      { in_channels: '4' },
      'unet: in_channels is a whole number from 1 up; got "4"; correct config.json',
    ],
    [
      'an unknown field',
      { cross_attention_dims: 768 },
      'unet: every field of the config is known; got "cross_attention_dims"; closest: cross_attention_dim, cross_attention_norm; if it does not matter, leave it out',
    ],
    [
      'another model',
      { _class_name: 'AutoencoderKL' },
      'unet: _class_name is UNet2DConditionModel; got "AutoencoderKL"; give that model\'s config.json',
    ],
    [
      'a short list',
      { attention_head_dim: [5, 10] },
      'unet: attention_head_dim has one entry for each of block_out_channels; got 2 and 4; correct config.json',
    ],
    [
      'heads that do not divide',
      { attention_head_dim: 7 },
      'unet: block_out_channels divide into heads (attention_head_dim says how many); got 320 and 7',
    ],
    [
      'groups that do not divide',
      { norm_num_groups: 33 },
      'unet: block_out_channels divide into norm_num_groups; got 320 and 33',
    ],
    [
      'one-sided depths',
      { transformer_layers_per_block: [1, [1, 2], 1, 1] },
      'got no reverse_transformer_layers_per_block',
    ],
    [
      'a projection of no width',
      { class_embed_type: 'projection' },
      'unet: class_embed_type projection needs projection_class_embeddings_input_dim; got null',
    ],
    [
      'no blocks',
      { block_out_channels: [] },
      'unet: block_out_channels is a list of at least one whole number from 1 up; got []; correct config.json',
    ],
    [
      'a division by nothing',
      { mid_block_scale_factor: 0 },
      'unet: mid_block_scale_factor is a number other than 0; got 0; correct config.json',
    ],
    ['a negative epsilon', { norm_eps: -1e-5 }, 'unet: norm_eps is a number from 0 up; got -0.00001'],
    [
      'waves without end',
      { freq_shift: 160 },
      "unet: freq_shift is other than half of block_out_channels' first, 160; got 160; correct config.json",
    ],
    ["a name of JavaScript's own", { constructor: 1 }, 'unet: every field of the config is known; got "constructor"'],
    [
      'nothing to join',
      { class_embeddings_concat: true },
      'unet: class_embeddings_concat joins a class embedding to the time embedding; got neither',
    ],
  ];

  it.each(refusals)('refuses %s by name', (_, json, text) => {
    expect(() => parseUnetConfig(json)).toThrow(text);
  });

  it('passes over what the caller names, and what averaging left', () => {
    const json = { ...published['sd-1.5'], decay: 0.9999, power: 0.75, mine: 1, dropout: 0.1 };
    expect(() => parseUnetConfig(json, { ignore: ['mine', 'dropout'] })).not.toThrow();
    expect(() => parseUnetConfig([])).toThrow(
      'unet: a config is an object; got []; parse config.json with JSON.parse first',
    );
  });
});
