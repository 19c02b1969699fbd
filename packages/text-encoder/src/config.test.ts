import { readFileSync } from 'node:fs';
import { countParams, namedTensors, shapeParams } from '@rass/nn';
import { describe, expect, it } from 'vitest';
import { parseClipTextConfig } from './config.ts';
import { clipTextParams } from './params.ts';

interface Published {
  config: Record<string, unknown>;
  count: number;
  shapes: Record<string, number[]>;
}

const fixture = new URL('../../../test-fixtures/golden/text-encoder/parameters.json', import.meta.url);
const published = JSON.parse(readFileSync(fixture, 'utf8')) as Record<string, Published>;

describe('parseClipTextConfig', () => {
  it.each(Object.entries(published))('reads the config of %s: same parameters as in transformers', (_, model) => {
    const p = clipTextParams(shapeParams(), parseClipTextConfig(model.config));
    expect(countParams(p)).toBe(model.count);
    expect(Object.fromEntries(namedTensors(p).map(({ key, tensor }) => [key, tensor.shape]))).toEqual(model.shapes);
  });

  it('keeps what the forward pass needs', () => {
    expect(parseClipTextConfig(published['stable-diffusion-2.1'].config)).toEqual({
      vocabularySize: 49408,
      positions: 77,
      width: 1024,
      innerWidth: 4096,
      layers: 23,
      heads: 16,
      activation: 'gelu',
      normEpsilon: 1e-5,
      endToken: 'largest',
      projectionWidth: undefined,
    });
    expect(parseClipTextConfig({ architectures: ['CLIPTextModelWithProjection'] })).toMatchObject({
      width: 512,
      activation: 'quick_gelu',
      endToken: 49407,
      projectionWidth: 512,
    });
  });

  it.each([
    [[], 'clipText: a config is an object; got []; parse config.json with JSON.parse first'],
    [
      { hidden_sizes: 8 },
      'clipText: every field of the config is known; got "hidden_sizes"; closest: hidden_size, hidden_act; if it does not matter, leave it out',
    ],
    [
      { text_config: {} },
      'clipText: every field of the config is known; got "text_config"; give its text_config alone',
    ],
    [{ hidden_act: 'relu' }, 'clipText: hidden_act is gelu or quick_gelu; got "relu"; correct config.json'],
    [{ model_type: 'clip' }, 'clipText: model_type is clip_text_model; got "clip"; correct config.json'],
    [{ num_hidden_layers: 0 }, 'clipText: num_hidden_layers is a whole number from 1 up; got 0; correct config.json'],
    [{ eos_token_id: [1, 2] }, 'clipText: eos_token_id is a whole number from 0 up; got [1,2]; correct config.json'],
    [
      { hidden_size: 10, num_attention_heads: 4 },
      'clipText: hidden_size divides into num_attention_heads; got 10 and 4; correct config.json',
    ],
    [
      { architectures: ['CLIPModel'] },
      'clipText: architectures is a list of one of CLIPTextModel and CLIPTextModelWithProjection; got ["CLIPModel"]; correct config.json',
    ],
    [
      { architectures: ['CLIPTextModelWithProjection'], projection_dim: null },
      'clipText: CLIPTextModelWithProjection needs projection_dim; got null; correct config.json',
    ],
    [
      { quantization_config: { bits: 8 } },
      'clipText: quantization_config {"bits":8} is not implemented; this package runs plain CLIP text models',
    ],
    [
      { pruned_heads: { 0: [1] } },
      'clipText: pruned_heads {"0":[1]} is not implemented; this package runs plain CLIP text models',
    ],
  ])('refuses %j by name', (json, message) => {
    expect(() => parseClipTextConfig(json)).toThrow(message);
  });

  it('ignores what changes nothing, and what it is told to', () => {
    const idle = {
      _name_or_path: 'x',
      torch_dtype: 'float16',
      pruned_heads: {},
      is_decoder: false,
      top_p: 1,
      id2label: {},
    };
    expect(parseClipTextConfig({ ...idle, note: 1 }, { ignore: ['note'] })).toEqual(parseClipTextConfig({}));
  });
});
