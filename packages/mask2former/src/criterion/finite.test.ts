import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose, slice, type Tensor, type Tensor3D, tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { mask2FormerCriterion, outputOf, outputTensors } from './criterion.ts';
import { type CriterionCase, criterionCase } from './golden.test-support.ts';
import { matchPredictions } from './match.ts';

const OPTIONS = { points: 1, trainNumPoints: 16 };

/** A tensor's copy with other values at some places. */
async function spoilt(x: Tensor, values: Readonly<Record<number, number>>): Promise<Tensor> {
  const copy = Float32Array.from(await x.data());
  for (const [at, value] of Object.entries(values)) copy[Number(at)] = value;
  return tensor(copy, x.shape);
}

/** The case with one of its tensors spoilt. */
async function spoiltOutput(from: CriterionCase, name: string, values: Readonly<Record<number, number>>) {
  const tensors = outputTensors(from.output);
  const wrong = await spoilt(tensors[name], values);
  return { output: outputOf({ ...tensors, [name]: wrong }), wrong };
}

const SKIP = "or leave such images out by nonFinite: 'skip'";

describeOnBackends('something that is not finite', () => {
  it.each([
    [
      'masksQueriesLogits.1',
      { 5: Number.NaN, 7: Number.POSITIVE_INFINITY },
      `logits are finite; got 2 that are not in masksQueriesLogits of image 0, layer 1 of 3; lower the learning rate, ${SKIP}`,
    ],
    [
      'classQueriesLogits.2',
      { 30: Number.NEGATIVE_INFINITY },
      `logits are finite; got 1 that are not in classQueriesLogits of image 1, layer 2 of 3; lower the learning rate, ${SKIP}`,
    ],
    [
      'masksQueriesLogits.0',
      Object.fromEntries(Array.from({ length: 54 }, (_, i) => [i, 3e38])),
      'costs are finite; got NaN for query 0 and target 0 of image 0, layer 0, from finite logits; ' +
        `the logits are too large: lower the learning rate, ${SKIP}`,
    ],
  ])('is named: %s', async (name, values, message) => {
    const given = criterionCase('criterion');
    const { output, wrong } = await spoiltOutput(given, name, values);
    await expectNoLeaks(async () => {
      await expect(matchPredictions(output, given.targets, OPTIONS)).rejects.toThrow(
        `mask2Former criterion: ${message}`,
      );
    });
    wrong.dispose();
    given.dispose();
  });

  it('is named in targets', async () => {
    const { output, targets, dispose: free } = criterionCase('criterion');
    const masks = (await spoilt(targets[1].masks, { 3: Number.NaN })) as Tensor3D;
    const given = [targets[0], { ...targets[1], masks }];
    await expect(matchPredictions(output, given, OPTIONS)).rejects.toThrow(
      `mask2Former criterion: targets are finite; got numbers that sum to NaN in masks of image 1; correct the data, ${SKIP}`,
    );
    expect((await matchPredictions(output, given, { ...OPTIONS, nonFinite: 'skip' })).skipped).toEqual([1]);
    masks.dispose();
    free();
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 3e38])(
    'leaves its image out, as if it were not there: %s',
    async (value) => {
      const given = criterionCase('criterion');
      const { golden, targets } = given;
      const places = Object.fromEntries(Array.from({ length: 54 }, (_, i) => [i, value]));
      const { output, wrong } = await spoiltOutput(given, 'masksQueriesLogits.1', places);
      // As many pairs as the image that stays has, and its own points.
      const points = {
        matching: (layer: number) => golden.raw(`in/matching.${layer}.1`).values as Float32Array,
        candidates: (layer: number) => (golden.raw(`in/candidates.${layer}`).values as Float32Array).subarray(0, 240),
        uniform: (layer: number) => (golden.raw(`in/uniform.${layer}`).values as Float32Array).subarray(0, 20),
      };
      const options = { points, trainNumPoints: golden.config.points, nonFinite: 'skip' } as const;
      await expectNoLeaks(async () => {
        const found = await mask2FormerCriterion(output, targets, options);
        expect(found.matching.skipped).toEqual([0]);
        const tensors = Object.entries(outputTensors(given.output));
        const others = tensors.map(([name, x]) => [name, slice(x, 1, 1)] as const);
        const alone = await mask2FormerCriterion(outputOf(Object.fromEntries(others)), [targets[1]], options);
        await expectClose([found.loss], [alone.loss], { relative: 1e-6 });
        for (const [name, gradient] of Object.entries(found.gradients)) {
          const half = gradient.size / 2;
          const all = await gradient.data();
          await expectClose(all.subarray(0, half), new Float32Array(half), { label: name });
          await expectClose(all.subarray(half), await alone.gradients[name].data(), { relative: 1e-5, label: name });
        }
        dispose([found.gradients, alone.gradients, others.map(([, x]) => x)] as never);
      });
      wrong.dispose();
      given.dispose();
    },
  );

  it('may be all that there is', async () => {
    const given = criterionCase('criterion');
    const half = given.output.classQueriesLogits.size / 2;
    const { output, wrong } = await spoiltOutput(given, 'classQueriesLogits.0', { 0: Number.NaN, [half]: Number.NaN });
    const found = await mask2FormerCriterion(output, given.targets, { ...OPTIONS, nonFinite: 'skip' });
    expect(found.matching.skipped).toEqual([0, 1]);
    expect(found.loss).toBe(0);
    for (const gradient of Object.values(found.gradients)) {
      expect((await gradient.data()).every((value) => value === 0)).toBe(true);
    }
    dispose([found.gradients, wrong] as never);
    given.dispose();
  });
});
