import { describeOnBackends } from '@rass/testkit';
import { cast, slice, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { Mask2FormerOutput } from '../outputs.ts';
import { outputOf, outputTensors } from './criterion.ts';
import { criterionCase } from './golden.test-support.ts';
import { mask2FormerLoss } from './loss.ts';
import { matchPredictions } from './match.ts';
import type { Matching } from './matching.ts';
import type { CriterionOptions } from './options.ts';
import type { MaskTargets } from './targets.ts';

/** What to change of the case. */
type Change = (output: Mask2FormerOutput, targets: readonly MaskTargets[]) => Partial<Given>;

interface Given {
  readonly output: Mask2FormerOutput;
  readonly targets: readonly MaskTargets[];
  readonly options: Partial<CriterionOptions>;
}

const withOptions =
  (options: Partial<CriterionOptions>): Change =>
  () => ({ options });

const source = { matching: () => new Float32Array(6), candidates: () => new Float32Array(2), uniform: () => new Float32Array(2) }; // biome-ignore format: one line

const CHANGES: readonly (readonly [string, Change])[] = [
  ['each of the 2 images has targets; got 1 of them; give one for each', (_, targets) => ({ targets: [targets[0]] })],
  [
    'targets are classes, N of them, and masks [N, H, W]; got 1 classes and masks [3,12,18] of image 0; give each mask a class',
    (_, [first, second]) => ({ targets: [{ ...first, classes: [1] }, second] }),
  ],
  [
    "targets' masks are float32, 0 or 1; got int32 of image 1; cast them",
    (_, [first, second]) => ({ targets: [first, { ...second, masks: cast(second.masks, 'int32') }] }),
  ],
  [
    'classes are from 0 to 4; got 5 of image 0; correct the labels',
    (_, [first, second]) => ({ targets: [{ ...first, classes: [5, 0, 0] }, second] }),
  ],
  [
    'a layer has classes [B, Q, V + 1] and masks [B, Q, H, W]; got [2,4,6] and [2,3,6,9] of layer 2; take them from one output',
    (output) => ({
      output: {
        ...output,
        masksQueriesLogits: slice(output.masksQueriesLogits, [0, 0, 0, 0], [-1, 3, -1, -1]) as Tensor4D,
      },
    }),
  ],
  [
    'all layers have the same images, queries and classes; got [2,4,4] of layer 2 after [2,4,6]; take them from one output',
    (output) => ({
      output: { ...output, classQueriesLogits: slice(output.classQueriesLogits, [0, 0, 0], [-1, -1, 4]) as Tensor3D },
    }),
  ],
  [
    'logits are of a class or more and of "no object"; got 1; see Mask2FormerOutput',
    (output) => ({
      output: {
        ...output,
        classQueriesLogits: slice(output.classQueriesLogits, [0, 0, 0], [-1, -1, 1]) as Tensor3D,
        auxiliary: [],
      },
    }),
  ],
  [
    'masks are no larger than the padded size, 12 x 16; got masks [3,12,18] of image 0; correct paddedSize',
    withOptions({ paddedSize: [12, 16] }),
  ],
  [
    'paddedSize is two whole numbers from 1 up; got [NaN,16]; give [height, width] in pixels',
    withOptions({ paddedSize: [NaN, 16] }),
  ],
  ['trainNumPoints is a whole number from 1 up; got 0; 12544 is usual', withOptions({ trainNumPoints: 0 })],
  ['maskWeight is a number from 0 up; got -1; correct it', withOptions({ maskWeight: -1 })],
  ['some weight is above 0; got only zeros; give one', withOptions({ maskWeight: 0, classWeight: 0, diceWeight: 0 })],
  ['oversampleRatio is 1 or more; got 0.5; 3 is usual', withOptions({ oversampleRatio: 0.5 })],
  ['oversampleRatio is 1 or more; got Infinity; 3 is usual', withOptions({ oversampleRatio: Infinity })],
  ['importanceSampleRatio is from 0 to 1; got 2; 0.75 is usual', withOptions({ importanceSampleRatio: 2 })],
  ['numMasks is a number above 0; got 0; leave it out', withOptions({ numMasks: 0 })],
  ["a seed of points is a whole number; got 0.5; give one, as the step's number", withOptions({ points: 0.5 })],
  [
    'a source gives x and y of 4 points for matching image 0 in layer 0; got 6; correct the source',
    withOptions({ points: source }),
  ],
];

describeOnBackends('the criterion', () => {
  it.each(CHANGES)('says: %s', async (message, change) => {
    const { output, targets, dispose: free } = criterionCase('criterion');
    const given = change(output, targets);
    const options = { points: 1, trainNumPoints: 4, ...given.options };
    const run = matchPredictions(given.output ?? output, given.targets ?? targets, options);
    await expect(run).rejects.toThrow(`mask2Former criterion: ${message}`);
    free();
  });

  it('refuses the matching of another output', () => {
    const { output, targets, dispose: free } = criterionCase('criterion');
    const pairs = { queries: new Int32Array(0), targets: new Int32Array(0) };
    const loss = (layers: Matching['layers']) => () =>
      tidy(() => mask2FormerLoss(output, targets, { layers, skipped: [] }, { points: 1 }).total);
    expect(loss([[pairs, pairs]])).toThrow(
      'mask2Former criterion: a matching has a layer for each prediction, 3; got 1; match this output',
    );
    expect(loss([[pairs], [pairs], [pairs]])).toThrow(
      "mask2Former criterion: a matching's layers have an image each of 2; got 1; match this output",
    );
    free();
  });

  it('refuses tensors that are not an output', () => {
    const { output, dispose: free } = criterionCase('criterion');
    expect(() =>
      outputOf({ 'classQueriesLogits.0': output.classQueriesLogits, masks: output.masksQueriesLogits }),
    ).toThrow(
      "mask2Former: an output's tensors are named by outputTensors; got classQueriesLogits.0, masks; give all of them",
    );
    expect(() => outputOf({})).toThrow('named by outputTensors; got none; give all of them');
    const more = output.masksQueriesLogits;
    const one = outputTensors({ ...output, auxiliary: [] });
    expect(() => outputOf({ ...one, more })).toThrow(
      'got classQueriesLogits.0, masksQueriesLogits.0, more; give all of them',
    );
    free();
  });
});
