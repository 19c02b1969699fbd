import { gradients } from '@rass/kernels';
import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { dispose, type Tensor4D } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type AlignmentInputs,
  type AlignmentOptions,
  alignmentLoss,
  levelMasks,
  type MaskResize,
  type Size,
} from './index.ts';

const g = loadGolden('attention-alignment/losses');
const { latents, tags, classes, labels: labelSize } = g.config;
const names = g.names('in/').filter((name) => name !== 'labels');

const labelValues = g.raw('in/labels').values;
const pixels = labelSize[0] * labelSize[1];
const labels = [0, 1].map((b) => ({
  size: labelSize as Size,
  labels: labelValues.slice(b * pixels, (b + 1) * pixels),
}));

const inputs = (probabilities: Record<string, Tensor4D>): AlignmentInputs => ({
  probabilities,
  latents,
  tags: (tags as number[][][]).map((each) => each.map((positions, i) => ({ tag: `tag ${i}`, positions }))),
  classes,
  labels,
});

const CASES: Record<string, AlignmentOptions> = {
  'area+ce': {},
  area: { kind: 'area' },
  'token+pixel': { kind: 'token+pixel' },
  bce: { kind: 'bce' },
  mse_max: { kind: 'mse_max' },
  balanced_l1: { kind: 'balanced_l1' },
  dice: { kind: 'dice' },
  'area+ce-heads': { perHead: true },
  'area+ce-mean': { subtoken: 'mean' },
  'dice-softmax': { kind: 'dice', norm: 'softmax100' },
};

describeOnBackends('alignment losses against PyTorch', () => {
  it.each(Object.entries(CASES))('%s: values and gradients by the probabilities', async (name, options) => {
    const probabilities = Object.fromEntries(names.map((each) => [each, g.tensor(`in/${each}`) as Tensor4D]));
    await expectNoLeaks(async () => {
      const result = alignmentLoss(inputs(probabilities), options);
      for (const term of ['loss', 'area', 'pixel'] as const) {
        await expectClose(await result[term].data(), g.raw(`out/${name}/${term}`).values, { label: term });
      }
      dispose(result);
    });
    const found = gradients((p) => alignmentLoss(inputs(p as Record<string, Tensor4D>), options).loss, probabilities);
    for (const each of names)
      await expectClose(found[each], g.tensor(`grad/${name}/${each}`), { relative: 1e-3, label: each });
    dispose([found, probabilities]);
  });

  it.each(['area', 'nearest', 'any'] as MaskResize[])(
    'masks by %s are those of PyTorch, also where cells are no whole pixels',
    async (resize) => {
      for (const size of [
        [6, 4],
        [3, 2],
        [5, 3],
      ] as Size[]) {
        // biome-ignore format: three sizes
        const made = levelMasks([labels[0]], [classes[0]], size, { resize });
        const at = `masks/${resize}/${size.join('x')}`;
        await expectClose(await made.masks.data(), g.raw(`${at}/masks`).values, { relative: 1e-6 });
        await expectClose(await made.visible.data(), g.raw(`${at}/visible`).values, { relative: 1e-6 });
        expect([...(await made.valid.data())]).toEqual([...g.raw(`${at}/valid`).values]);
        dispose([made.masks, made.visible, made.valid]);
      }
    },
  );
});

it('has a class in it that is too small where maps are coarse', () => {
  expect([...g.raw('masks/area/6x4/valid').values]).toEqual([1, 1, 1]);
  expect([...g.raw('masks/area/3x2/valid').values]).toEqual([1, 1, 0]);
});
