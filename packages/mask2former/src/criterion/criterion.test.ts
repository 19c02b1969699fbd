import { gradients } from '@rass/kernels';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose, pad, slice, type Tensor3D, type Tensor4D, tensor3d, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { costMatrix } from './costs.ts';
import { mask2FormerCriterion, outputOf, outputTensors } from './criterion.ts';
import { criterionCase } from './golden.test-support.ts';
import { mask2FormerLoss } from './loss.ts';
import { predictionsOf } from './match.ts';
import { resolveOptions } from './options.ts';
import { type MaskTargets, semanticTargets } from './targets.ts';

const CASES = ['criterion', 'criterion-crowded', 'criterion-empty'];

describeOnBackends('mask2FormerCriterion', () => {
  it.each(CASES)("has transformers' losses, matching and gradients: %s", async (name) => {
    const { golden, output, targets, points, dispose: free } = criterionCase(name);
    const options = { points, trainNumPoints: golden.config.points };
    await expectNoLeaks(async () => {
      const found = await mask2FormerCriterion(output, targets, options);
      await expectClose([found.loss], golden.raw('out/total').values);
      for (const [i, layer] of found.layers.entries()) {
        await expectClose([layer.crossEntropy], golden.raw(`out/loss_cross_entropy.${i}`).values);
        await expectClose([layer.mask], golden.raw(`out/loss_mask.${i}`).values);
        await expectClose([layer.dice], golden.raw(`out/loss_dice.${i}`).values);
        for (const [image, { queries, targets: chosen }] of found.matching.layers[i].entries()) {
          expect(Array.from(queries)).toEqual(Array.from(golden.raw(`out/queries.${i}.${image}`).values));
          expect(Array.from(chosen)).toEqual(Array.from(golden.raw(`out/targets.${i}.${image}`).values));
        }
        for (const [ours, theirs] of [
          ['classQueriesLogits', 'class'],
          ['masksQueriesLogits', 'mask'],
        ]) {
          const { values } = golden.raw(`grad/${theirs}_logits.${i}`);
          const label = `${ours} ${i}`;
          await expectClose(await found.gradients[`${ours}.${i}`].data(), values, { relative: 1e-3, label });
        }
      }
      dispose(found.gradients);
    });
    free();
  });

  it.each(CASES)("has transformers' costs: %s", async (name) => {
    const { golden, output, targets, points, dispose: free } = criterionCase(name);
    const o = resolveOptions({ points, trainNumPoints: golden.config.points });
    for (const [layer, prediction] of predictionsOf(output).entries()) {
      for (const [image, each] of targets.entries()) {
        if (each.classes.length === 0) continue;
        const matching = golden.tensor(`in/matching.${layer}.${image}`);
        const [, ...size] = each.masks.shape;
        const costs = costMatrix({ prediction, image, targets: each, points: matching as never, size }, o);
        await expectClose(costs, golden.raw(`out/costs.${layer}.${image}`).values);
        dispose([costs, matching]);
      }
    }
    free();
  });

  it('gives the gradients that its loss has when it is recorded itself', async () => {
    const { golden, output, targets, points, dispose: free } = criterionCase('criterion');
    const options = { points, trainNumPoints: golden.config.points, numMasks: 7 };
    const found = await mask2FormerCriterion(output, targets, options);
    const recorded = gradients(
      (tensors) => mask2FormerLoss(outputOf(tensors), targets, found.matching, options).total,
      outputTensors(output),
    );
    for (const [name, gradient] of Object.entries(recorded)) {
      await expectClose(found.gradients[name], gradient, { relative: 1e-6, label: name });
    }
    // A mean over five masks, divided by seven.
    await expectClose([found.layers[2].mask], [(golden.raw('out/loss_mask.2').values[0] * 5) / 7]);
    dispose([found.gradients, recorded] as never);
    free();
  });

  it('asks an image of ignored pixels for "no object" alone, with finite gradients', async () => {
    const targets = [semanticTargets({ data: new Uint8Array(12).fill(255), height: 3, width: 4 }, { classes: 2 })];
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
    const ofClasses = await found.gradients['classQueriesLogits.0'].data();
    expect(ofClasses.every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
    dispose([found.gradients, outputTensors(output), targets[0].masks] as never);
  });

  it.each([{}, { paddedSize: [14, 20] as const }])(
    'pads masks of other sizes with zeros: %j',
    async ({ paddedSize }) => {
      const { golden, output, targets, points, dispose: free } = criterionCase('criterion');
      const options = { points, trainNumPoints: golden.config.points };
      const [first, second] = targets;
      const [height, width] = paddedSize ?? [12, 18];
      const small = slice(second.masks, [0, 0, 0], [-1, 9, 11]);
      const padded = (masks: Tensor3D): Tensor3D =>
        pad(masks, [
          [0, 0],
          [0, height - masks.shape[1]],
          [0, width - masks.shape[2]],
        ]);
      const asWell: MaskTargets[] = [
        { ...first, masks: padded(first.masks) },
        { ...second, masks: padded(small) },
      ];
      const expected = await mask2FormerCriterion(output, asWell, options);
      const given = [first, { ...second, masks: small }];
      const found = await mask2FormerCriterion(output, given, { ...options, paddedSize });
      expect(found.matching).toEqual(expected.matching);
      await expectClose([found.loss], [expected.loss]);
      for (const [name, gradient] of Object.entries(expected.gradients)) {
        await expectClose(found.gradients[name], gradient, { relative: 1e-3, label: name });
      }
      dispose([found.gradients, expected.gradients, small, asWell.map(({ masks }) => masks)] as never);
      free();
    },
  );

  it('draws the same points from the same seed', async () => {
    const { output, targets, dispose: free } = criterionCase('criterion');
    const losses: number[] = [];
    for (const points of [3, 3, 4]) {
      const found = await mask2FormerCriterion(output, targets, { points, trainNumPoints: 16 });
      losses.push(found.loss);
      dispose(found.gradients);
    }
    expect(losses[1]).toBe(losses[0]);
    expect(losses[2]).not.toBe(losses[0]);
    free();
  });
});
