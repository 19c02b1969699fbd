import { gradients } from '@rass/kernels';
import { countParams, disposeParams, mapTensors, namedTensors, ParamSource, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import { add, dispose, mean, mul, square, type Tensor, type Tensor4D, transpose, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type FeatureFusion, featureFusion, featureFusionParams } from './fusion.ts';
import type { FeatureTap } from './taps.ts';

const map = (golden: Golden, name: string): Tensor4D => transpose(golden.tensor(name) as Tensor4D, [0, 2, 3, 1]);
const weight = (golden: Golden, name: string): Tensor => {
  const stored = golden.tensor(name);
  return stored.rank === 4 ? transpose(stored as Tensor4D, [2, 3, 1, 0]) : stored;
};
const LEVELS = { res2: 4, res3: 8, res4: 16, res5: 32 } as const;

interface Case {
  readonly golden: Golden;
  readonly params: FeatureFusion;
  readonly maps: Record<string, Tensor4D>;
  readonly size: [number, number];
}

function load(): Case {
  const golden = loadGolden('rass/fusion');
  const { dims, strides, size, ...config } = golden.config;
  const taps: FeatureTap[] = dims.map((channels: number, i: number) => ({
    name: `${i}`,
    channels,
    stride: strides[i],
  }));
  const from = new ParamSource(({ key }) => weight(golden, `w/${key}`));
  return {
    golden,
    params: featureFusionParams(from, { taps, ...config }),
    maps: Object.fromEntries(taps.map(({ name }) => [name, map(golden, `in/${name}`)])),
    size,
  };
}

describeOnBackends('featureFusion', () => {
  it("equals detectron2's blocks, summed by stride, with all gradients", async () => {
    const { golden, params, maps, size } = load();
    const pyramid = featureFusion(params, maps, size);
    for (const [level, stride] of Object.entries(LEVELS)) {
      const expected = map(golden, `out/${stride}`);
      await expectClose(pyramid[level as keyof typeof LEVELS], expected, { label: level });
    }
    await expectNoLeaks(() => dispose({ ...featureFusion(params, maps, size) }));
    const named = Object.fromEntries(namedTensors(params).map(({ key, tensor }) => [key, tensor]));
    const inputs = Object.fromEntries(Object.entries(maps).map(([name, x]) => [`in.${name}`, x]));
    const found = gradients(
      (all) => {
        const tree = mapTensors(params, ({ key }) => all[key]);
        const given = Object.fromEntries(Object.keys(maps).map((name) => [name, all[`in.${name}`] as Tensor4D]));
        const levels = featureFusion(tree, given, size);
        const terms = Object.entries(LEVELS).map(([level, stride]): Tensor => {
          const x = levels[level as keyof typeof LEVELS];
          return mean(square(mul(x, golden.tensor(`in/factor.${stride}`))));
        });
        return terms.reduce((a, b) => add(a, b));
      },
      { ...named, ...inputs },
    );
    const names = golden.names('grad/');
    expect(Object.keys(found).sort()).toEqual(names.sort());
    for (const name of names) {
      const expected = name.startsWith('in.') ? map(golden, `grad/${name}`) : weight(golden, `grad/${name}`);
      await expectClose(found[name], expected, { relative: 1e-3, label: name });
    }
    disposeParams(params);
  });

  it('says what is missing or does not fit', () => {
    const { params, maps, size } = load();
    const { 2: _, ...without } = maps;
    expect(() => featureFusion(params, without, size)).toThrow(
      'featureFusion: every map is given; got no 2; there are 0, 1, 3, 4, 5',
    );
    expect(() => featureFusion(params, { ...maps, 1: zeros([2, 8, 12, 9]) }, size)).toThrow(
      'featureFusion: 1 is [B, H, W, 8]; got [2,8,12,9]; check the model',
    );
    expect(() => featureFusion(params, maps, [31, 64])).toThrow(
      'featureFusion: an image has at least 32 rows and columns; got 31 x 64; enlarge it',
    );
  });
});

it('has 3,774,464 parameters in RASS', () => {
  expect(countParams(featureFusionParams(shapeParams()))).toBe(3_774_464);
});

it.each([
  [
    [{ name: 'a', channels: 8, stride: 2 }],
    'featureFusion: strides are 4, 8, 16 and 32; got 2 of a; leave that map out',
  ],
  [
    [4, 8, 16].map((stride) => ({ name: `${stride}`, channels: 8, stride })),
    'featureFusion: each of the strides 4, 8, 16 and 32 has a map; none has 32; choose another map, too',
  ],
  [
    [4, 8, 16, 32, 4].map((stride) => ({ name: `${stride}`, channels: 8, stride })),
    'featureFusion: a map is projected once; got 4 twice; name it once',
  ],
])('refuses maps of which no pyramid can be made: %#', (taps, message) => {
  expect(() => featureFusionParams(shapeParams(), { taps })).toThrow(message);
});
