import { gradients } from '@rass/kernels';
import { mapTensors, namedTensors, type ParamSource, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import { loadParams, openCheckpoint, selectPrefix } from '@rass/weights';
import { add, dispose, mean, mul, square, type Tensor, type Tensor4D } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { goldenFile, goldenMap, goldenWeight } from '../golden.test-support.ts';
import { convBackbone, convBackboneParams } from './conv-backbone.ts';
import type { FeaturePyramid } from './pyramid.ts';
import { swin } from './swin.ts';
import { parseSwinConfig } from './swin-config.ts';
import { swinParams } from './swin-params.ts';

interface Network {
  readonly params: unknown;
  readonly run: (params: never, pixels: Tensor4D) => FeaturePyramid;
}

async function load(name: string): Promise<Network> {
  const { config } = loadGolden(`mask2former/${name}`);
  const ofConv = (from: ParamSource): unknown => convBackboneParams(from, config);
  const ofSwin = (from: ParamSource): unknown => swinParams(from, parseSwinConfig(config));
  const isConv = name.startsWith('conv');
  const checkpoint = selectPrefix(await openCheckpoint(goldenFile(`${name}.safetensors`)), 'w/');
  const { params } = await loadParams(checkpoint, isConv ? ofConv : ofSwin);
  return { params, run: (isConv ? convBackbone : swin) as Network['run'] };
}

const mapsOf = ({ res2, res3, res4, res5 }: FeaturePyramid): Tensor4D[] => [res2, res3, res4, res5];

/** The one number that the golden case takes gradients of. */
function goldenLoss(golden: Golden, features: FeaturePyramid): Tensor {
  return mapsOf(features)
    .map((x, i): Tensor => mean(square(mul(x, golden.tensor(`in/factor.${i}`)))))
    .reduce((a, b) => add(a, b));
}

describeOnBackends('backbones', () => {
  for (const name of ['swin', 'swin-even', 'conv-backbone']) {
    it(`equal the Python modules: ${name}`, async () => {
      const golden = loadGolden(`mask2former/${name}`);
      const { params, run } = await load(name);
      const pixels = goldenMap(golden, 'in/pixels');
      const maps = mapsOf(run(params as never, pixels));
      for (const [i, x] of maps.entries()) {
        await expectClose(x, goldenMap(golden, `out/res${i + 2}`), { label: `res${i + 2}` });
      }
      await expectNoLeaks(() => dispose(mapsOf(run(params as never, pixels))));
      const names = golden.names('grad/');
      const leaves = namedTensors(params).filter(({ key }) => names.includes(key));
      const found = gradients(
        ({ pixels: x, ...values }) => {
          const tree = mapTensors(params, ({ key, tensor }) => (values as Record<string, Tensor>)[key] ?? tensor);
          return goldenLoss(golden, run(tree as never, x as Tensor4D));
        },
        { ...Object.fromEntries(leaves.map(({ key, tensor }) => [key, tensor])), pixels },
      ) as Record<string, Tensor>;
      expect(Object.keys(found).sort()).toEqual(names.sort());
      for (const key of names) {
        const expected = key === 'pixels' ? goldenMap(golden, 'grad/pixels') : goldenWeight(golden, `grad/${key}`);
        await expectClose(found[key], expected, { relative: 1e-3, label: key });
      }
    });
  }
});

describe('parseSwinConfig', () => {
  it("has transformers' defaults", () => {
    expect(parseSwinConfig({})).toEqual({
      patchSize: 4,
      inputChannels: 3,
      width: 96,
      depths: [2, 2, 6, 2],
      heads: [3, 6, 12, 24],
      windowSize: 7,
      mlpRatio: 4,
      qkvBias: true,
      activation: 'gelu',
      normEpsilon: 1e-5,
    });
  });

  it.each([
    [null, 'swin: a config is an object; got null; give backbone_config of config.json'],
    [
      { windows: 3 },
      'swin: every field of the config is known; got "windows"; closest: window_size, depths; if it does not matter, leave it out',
    ],
    [{ model_type: 'resnet' }, 'swin: model_type is "swin"; got "resnet"; other values are not implemented'],
    [
      { use_absolute_embeddings: true },
      'swin: use_absolute_embeddings is false; got true; other values are not implemented',
    ],
    [{ depths: [2, 2] }, 'swin: depths has four numbers, one for each stage; got [2,2]; correct backbone_config'],
    [{ patch_size: 8 }, 'swin: patch_size is 4: other strides are not implemented; got 8; correct backbone_config'],
    [
      { num_heads: [3, 5, 12, 24] },
      'swin: stage 2 has 192 channels, which divide into its heads; got 5; correct backbone_config',
    ],
  ])('refuses %j by name', (json, message) => {
    expect(() => parseSwinConfig(json)).toThrow(message);
  });
});

it('refuses what is no image, and groups that do not fit', () => {
  const p = swinParams(shapeParams(), parseSwinConfig({}));
  expect(() => swin(p, { rank: 4, shape: [1, 8, 8, 4] } as never)).toThrow(
    'swin: pixels are [B, H, W, 3]; got [1,8,8,4]; preprocess the images',
  );
  expect(() => convBackboneParams(shapeParams(), { channels: [32, 64, 100, 256] })).toThrow(
    'convBackbone: channels divide into 8 groups; got 100; change them or the groups',
  );
});
