import { readFileSync } from 'node:fs';
import { countParams, shapeParams } from '@rass/nn';
import { describe, expect, it } from 'vitest';
import { parseSwinConfig } from './backbones/swin-config.ts';
import { mask2FormerHeadConfig, parseMask2FormerConfig } from './config.ts';
import { parseCriterionConfig } from './criterion/options.ts';
import { mask2FormerHeadParams } from './head.ts';

const golden = new URL('../../../test-fixtures/golden/mask2former/', import.meta.url);
const jsonOf = (file: string): unknown => JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
const configOf = (name: string): unknown => jsonOf(`${name}/config.json`);

describe('parseMask2FormerConfig', () => {
  it("reads transformers' config.json, its classes by their names", () => {
    expect(parseMask2FormerConfig(configOf('model-pre-norm'))).toEqual({
      featureSize: 32,
      maskFeatureSize: 24,
      hiddenDim: 16,
      heads: 4,
      encoderLayers: 1,
      encoderFeedforwardDim: 16,
      decoderLayers: 2,
      feedforwardDim: 16,
      activation: 'gelu',
      preNorm: true,
      enforceInputProjection: false,
      queries: 5,
      classes: 2,
    });
  });

  it("has transformers' defaults", () => {
    expect(parseMask2FormerConfig({ num_labels: 150 })).toEqual(mask2FormerHeadConfig(150));
    expect(mask2FormerHeadConfig(150)).toMatchObject({
      queries: 100,
      decoderLayers: 9,
      encoderLayers: 6,
      classes: 150,
    });
  });

  it.each([
    [[], 'mask2Former: a config is an object; got []; parse config.json with JSON.parse first'],
    [
      { num_querys: 5 },
      'mask2Former: every field of the config is known; got "num_querys"; closest: num_queries, num_labels; if it does not matter, leave it out',
    ],
    [{ common_stride: 8 }, 'mask2Former: common_stride is 4; got 8; other values are not implemented'],
    [{ model_type: 'detr' }, 'mask2Former: model_type is "mask2former"; got "detr"; other values are not implemented'],
    [{ num_queries: 0 }, 'mask2Former: num_queries is a whole number from 1 up; got 0; correct config.json'],
    [{ decoder_layers: 1 }, 'mask2Former: decoder_layers is 2 or more; got 1; correct config.json'],
    [
      { activation_function: 'tanh' },
      'mask2Former: activation_function is relu, gelu or silu; got "tanh"; correct config.json',
    ],
    [{ feature_size: 48 }, 'mask2Former: feature_size divides into 32 groups; got 48; correct config.json'],
    [{ hidden_dim: 100 }, 'mask2Former: hidden_dim divides into num_attention_heads, 8; got 100; correct config.json'],
    [{ hidden_dim: 6, num_attention_heads: 2 }, 'mask2Former: hidden_dim divides by 4; got 6; correct config.json'],
    [
      { num_labels: 3, id2label: { 0: 'a' } },
      'mask2Former: num_labels is the number of names in id2label; got [3,1]; correct config.json',
    ],
  ])('refuses %j by name', (json, message) => {
    expect(() => parseMask2FormerConfig(json)).toThrow(message);
  });

  const older = Object.entries(jsonOf('older-configs.json') as Record<string, { backbone_config: object }>);
  it.each(older)('reads what transformers %s writes, its backbone too', (_, config) => {
    expect(parseMask2FormerConfig(config)).toMatchObject({ featureSize: 32, decoderLayers: 9, classes: 7 });
    expect(parseSwinConfig(config.backbone_config)).toMatchObject({ width: 16, windowSize: 4, heads: [1, 2, 2, 4] });
    const pruned = { ...config, pruned_heads: { 0: [1] } };
    expect(() => parseMask2FormerConfig(pruned)).toThrow(
      'mask2Former: pruned_heads is {}; got {"0":[1]}; other values are not implemented',
    );
  });

  it('ignores what it is told to', () => {
    expect(parseMask2FormerConfig({ note: 1, num_labels: 4 }, { ignore: ['note'] })).toEqual(mask2FormerHeadConfig(4));
  });
});

it("reads the criterion's part of config.json", () => {
  expect(parseCriterionConfig(configOf('model') as object)).toEqual({
    classWeight: 2,
    maskWeight: 5,
    diceWeight: 5,
    noObjectWeight: 0.1,
    trainNumPoints: 12544,
    oversampleRatio: 3,
    importanceSampleRatio: 0.75,
  });
  expect(parseCriterionConfig({ num_queries: 5 })).toEqual({});
  expect(() => parseCriterionConfig({ mask_weight: -1 })).toThrow('maskWeight is a number from 0 up; got -1');
});

it("counts RASS's head: 512 channels at each level, 150 classes", () => {
  const channels = { res2: 512, res3: 512, res4: 512, res5: 512 };
  const head = mask2FormerHeadParams(shapeParams(), mask2FormerHeadConfig(150), channels);
  expect(countParams(head.pixelDecoder)).toBe(5_577_152);
  expect(countParams(head.decoder)).toBe(14_497_431);
});
