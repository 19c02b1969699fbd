import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import {
  dispose,
  memory,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor3d,
  zeros,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { goldenPoints } from '../golden.test-support.ts';
import type { Mask2FormerOutput } from '../outputs.ts';
import { mask2FormerCriterion, outputOf, outputTensors } from './criterion.ts';
import { mask2FormerLoss } from './loss.ts';
import { matchPredictions } from './match.ts';
import { type MaskTargets, semanticTargets } from './targets.ts';

function goldenTargets(golden: Golden): MaskTargets[] {
  return Array.from({ length: golden.config.images }, (_, image) => ({
    classes: Array.from(golden.raw(`in/classes.${image}`).values),
    masks: golden.tensor(`in/masks.${image}`) as Tensor3D,
  }));
}

function goldenOutput(golden: Golden): Mask2FormerOutput {
  const layers = Array.from({ length: golden.config.layers }, (_, i) => [
    [`classQueriesLogits.${i}`, golden.tensor(`in/class_logits.${i}`)],
    [`masksQueriesLogits.${i}`, golden.tensor(`in/mask_logits.${i}`)],
  ]);
  return outputOf(Object.fromEntries(layers.flat()));
}

const masksOf = (targets: readonly MaskTargets[]): Tensor[] => targets.map(({ masks }) => masks);

describeOnBackends('mask2FormerCriterion', () => {
  for (const name of ['criterion', 'criterion-crowded', 'criterion-empty']) {
    it(`equals transformers: ${name}`, async () => {
      const golden = loadGolden(`mask2former/${name}`);
      const [output, targets] = [goldenOutput(golden), goldenTargets(golden)];
      const options = { points: goldenPoints(golden), trainNumPoints: golden.config.points };
      await expectNoLeaks(async () => {
        const { loss, layers, gradients, matching } = await mask2FormerCriterion(output, targets, options);
        await expectClose([loss], golden.raw('out/total').values);
        for (const [i, layer] of layers.entries()) {
          await expectClose([layer.crossEntropy], golden.raw(`out/loss_cross_entropy.${i}`).values);
          await expectClose([layer.mask], golden.raw(`out/loss_mask.${i}`).values);
          await expectClose([layer.dice], golden.raw(`out/loss_dice.${i}`).values);
          for (const [image, { queries, targets: chosen }] of matching.layers[i].entries()) {
            expect(Array.from(queries)).toEqual(Array.from(golden.raw(`out/queries.${i}.${image}`).values));
            expect(Array.from(chosen)).toEqual(Array.from(golden.raw(`out/targets.${i}.${image}`).values));
          }
          for (const [ours, theirs] of [
            ['classQueriesLogits', 'class'],
            ['masksQueriesLogits', 'mask'],
          ]) {
            const { values } = golden.raw(`grad/${theirs}_logits.${i}`);
            await expectClose(await gradients[`${ours}.${i}`].data(), values, {
              relative: 1e-3,
              label: `${ours} ${i}`,
            });
          }
        }
        dispose(gradients);
      });
      dispose([outputTensors(output), masksOf(targets)] as never);
    });
  }

  it('asks an image of ignored pixels for "no object" alone, with finite gradients', async () => {
    const targets = [semanticTargets({ labels: new Uint8Array(12).fill(255), height: 3, width: 4 }, 2)];
    // Two queries of three classes, the second sure of "no object": e^2 of e^2 + 2.
    const output = {
      classQueriesLogits: tensor3d([0, 0, 0, 0, 0, 2], [1, 2, 3]),
      masksQueriesLogits: zeros([1, 2, 2, 2]) as Tensor4D,
      auxiliary: [],
    };
    const found = await mask2FormerCriterion(output, targets, { points: 1, trainNumPoints: 4 });
    const expected = (Math.log(3) + Math.log((Math.exp(2) + 2) / Math.exp(2))) / 2;
    await expectClose([found.layers[0].crossEntropy, found.layers[0].mask, found.layers[0].dice], [expected, 0, 0]);
    await expectClose([found.loss], [2 * expected]);
    await expectClose(found.gradients['masksQueriesLogits.0'], new Float32Array(8));
    dispose([found.gradients, outputTensors(output), masksOf(targets)] as never);
  });

  it('names logits that are not finite, or leaves their image out', async () => {
    const golden = loadGolden('mask2former/criterion');
    const [output, targets] = [goldenOutput(golden), goldenTargets(golden)];
    const options = { points: 1, trainNumPoints: 16 };
    const spoilt = { ...outputTensors(output) };
    const values = Float32Array.from(golden.raw('in/mask_logits.1').values);
    values[5] = Number.NaN;
    values[7] = Number.POSITIVE_INFINITY;
    spoilt['masksQueriesLogits.1'] = tensor(values, spoilt['masksQueriesLogits.1'].shape);
    const before = memory().numTensors;
    await expect(matchPredictions(outputOf(spoilt), targets, options)).rejects.toThrow(
      "mask2Former criterion: logits are finite; got 2 that are not in masksQueriesLogits of image 0, layer 1 of 3; lower the learning rate, or leave such images out by nonFinite: 'skip'",
    );
    expect(memory().numTensors).toBe(before);
    const found = await mask2FormerCriterion(outputOf(spoilt), targets, { ...options, nonFinite: 'skip' });
    expect(found.matching.skipped).toEqual([0]);
    expect(Number.isFinite(found.loss)).toBe(true);
    for (const gradient of Object.values(found.gradients)) {
      const all = await gradient.data();
      expect(all.every(Number.isFinite)).toBe(true);
      // Image 0 comes first, and has no part in anything.
      expect(all.slice(0, all.length / 2).every((value) => value === 0)).toBe(true);
      expect(all.slice(all.length / 2).some((value) => value !== 0)).toBe(true);
    }
    dispose([found.gradients, spoilt, outputTensors(output), masksOf(targets)] as never);
  });

  it('draws the same points from the same seed', async () => {
    const golden = loadGolden('mask2former/criterion');
    const [output, targets] = [goldenOutput(golden), goldenTargets(golden)];
    const losses: number[] = [];
    for (const points of [3, 3, 4]) {
      const found = await mask2FormerCriterion(output, targets, { points, trainNumPoints: 16 });
      losses.push(found.loss);
      dispose(found.gradients);
    }
    expect(losses[1]).toBe(losses[0]);
    expect(losses[2]).not.toBe(losses[0]);
    dispose([outputTensors(output), masksOf(targets)] as never);
  });

  it('says what does not fit', async () => {
    const golden = loadGolden('mask2former/criterion');
    const [output, targets] = [goldenOutput(golden), goldenTargets(golden)];
    const [{ masks, classes }] = targets;
    const other = zeros([1, 2, 2]) as Tensor3D;
    const run = (given: MaskTargets[], more = {}) => matchPredictions(output, given, { points: 1, ...more });
    const cases: [Promise<unknown>, string][] = [
      [run([targets[0]]), 'each of the 2 images has targets; got 1 of them; give one for each'],
      [
        run([{ classes: [1], masks }, targets[1]]),
        'targets are classes, N of them, and masks [N, H, W]; got 1 classes and masks [3,12,18] of image 0; give each mask a class',
      ],
      [
        run([
          { classes, masks },
          { classes: [1], masks: other },
        ]),
        "all images' masks have one size; got [2,2] of image 1 after [12,18]; pad images and masks to the same size",
      ],
      [
        run([{ classes: [5, 0, 0], masks }, targets[1]]),
        'classes are from 0 to 4; got 5 of image 0; correct the labels',
      ],
      [run(targets, { trainNumPoints: 0 }), 'trainNumPoints is a whole number from 1 up; got 0; 12544 is usual'],
      [run(targets, { maskWeight: -1 }), 'maskWeight is a number from 0 up; got -1; correct it'],
      [run(targets, { oversampleRatio: 0.5 }), 'oversampleRatio is 1 or more; got 0.5; 3 is usual'],
      [run(targets, { importanceSampleRatio: 2 }), 'importanceSampleRatio is from 0 to 1; got 2; 0.75 is usual'],
    ];
    for (const [promise, message] of cases) await expect(promise).rejects.toThrow(`mask2Former criterion: ${message}`);
    const { auxiliary: _, ...last } = output;
    const matching = await matchPredictions({ ...last, auxiliary: [] }, targets, { points: 1, trainNumPoints: 4 });
    expect(() => mask2FormerLoss(output, targets, matching, { points: 1 })).toThrow(
      'mask2Former criterion: a matching has a layer for each prediction, 3; got 1; match this output',
    );
    dispose([other, outputTensors(output), masksOf(targets)] as never);
  });
});
