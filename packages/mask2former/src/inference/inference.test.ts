import { describeOnBackends, expectClose, peakBytes, randomValues } from '@rass/testkit';
import { dispose, tensor3d, tensor4d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type Prediction,
  postProcessInstanceSegmentation,
  postProcessPanopticSegmentation,
  postProcessSemanticSegmentation,
} from '../index.ts';
import { bandsOf, resizedBand } from './bands.ts';
import { bilinearTaps } from './bilinear.ts';
import { runLengths } from './run-lengths.ts';
import type { TargetSize } from './segmentation.ts';
import type { ImageSizes } from './sizes.ts';

const ln = Math.log;
const sizesTo = (target: TargetSize): ImageSizes => ({ mask: [384, 384], image: [384, 384], target });

/** Two queries and two classes on 1 x 2 pixels. The first is class 0 with 3/5, class 1 with 1/5, nothing with 1/5; the second
 * class 1 with 4/6, class 0 and nothing with 1/6. Masks: 9/10 and 1/10 of the left pixel, 1/4 and 3/4 of the right one. */
const byHand = (): Prediction => ({
  classQueriesLogits: tensor3d([
    [
      [ln(3), 0, 0],
      [0, ln(4), 0],
    ],
  ]),
  masksQueriesLogits: tensor4d([[[[ln(9), -ln(3)]], [[-ln(9), ln(3)]]]]),
});

/** On a row of two pixels that becomes one of four, the outer ones are the pixels, the inner ones lie at 1/4 and 3/4. On the grid of
 * 384 columns the first 96 are the left pixel, the last 96 the right one. */
describeOnBackends('by hand', () => {
  it('semantic: the left end is class 0 with 0.9 * 3/5 + 0.1 / 6, the right end class 1 with 1/4 / 5 + 3/4 * 4/6', async () => {
    const given = byHand();
    const [{ segmentation, segmentationScores }] = await postProcessSemanticSegmentation(given, {
      returnSegmentationScores: true,
    });
    const at = (v: number, x: number) => segmentationScores?.[v * 384 * 384 + x];
    expect(at(0, 0)).toBeCloseTo(0.54 + 0.1 / 6, 6);
    expect(at(1, 0)).toBeCloseTo(0.18 + 0.4 / 6, 6);
    expect(at(0, 383)).toBeCloseTo(0.15 + 0.125, 6);
    expect(at(1, 383)).toBeCloseTo(0.05 + 0.5, 6);
    expect([segmentation.data[0], segmentation.data[95], segmentation.data[288], segmentation.data[383]]).toEqual([
      0, 0, 1, 1,
    ]);
    dispose(Object.values(given));
  });

  it('instances: each has its half, and the mean probability in it', async () => {
    const given = byHand();
    const [{ segmentation, segmentsInfo, binaryMaps, runLengths: runs }] = await postProcessInstanceSegmentation(
      given,
      {
        threshold: 0.4,
        targetSizes: [[1, 4]],
        returnBinaryMaps: true,
        returnCocoAnnotation: true,
      },
    );
    // Logits pass 0 at 2/3 of the way from one pixel to the other; nearest pixels lie at 0, 1/2 and, last, beyond it.
    expect(segmentsInfo.map(({ id, labelId }) => [id, labelId])).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect([...segmentation.data]).toEqual([1, 1, 1, 0]);
    expect(binaryMaps?.map((map) => [...map])).toEqual([
      [0, 0, 0, 1],
      [1, 1, 1, 0],
    ]);
    expect(runs).toEqual([
      [4, 1],
      [1, 3],
    ]);
    expect(segmentsInfo[0].score).toBeGreaterThan(0.5 * (2 / 3));
    expect(segmentsInfo[0].score).toBeLessThan(0.75 * (2 / 3));
    dispose(Object.values(given));
  });

  it('panoptic: each wins its half, and the first drops out where it would have more of the image', async () => {
    const given = byHand();
    const options = { maskThreshold: 0.2, targetSizes: [[1, 4] as const] };
    // Times 3/5 the first has 0.54, 0.48, 0.26, 0.15; times 4/6 the second has 0.07, 0.13, 0.38, 0.5. Of the three
    // pixels where the first has 0.2 or more it wins two.
    const [strict] = await postProcessPanopticSegmentation(given, options);
    const [lenient] = await postProcessPanopticSegmentation(given, { ...options, overlapMaskAreaThreshold: 0.6 });
    const [first, second] = [
      { labelId: 0, wasFused: false, score: 0.6 },
      { labelId: 1, wasFused: false, score: 0.666667 },
    ];
    expect(lenient.segmentsInfo).toEqual([
      { id: 1, ...first },
      { id: 2, ...second },
    ]);
    expect([...lenient.segmentation.data]).toEqual([1, 1, 2, 2]);
    expect(strict.segmentsInfo).toEqual([{ id: 1, ...second }]);
    expect([...strict.segmentation.data]).toEqual([0, 0, 1, 1]);
    dispose(Object.values(given));
  });

  it('leaves out what the batch was padded with', async () => {
    const given = byHand();
    // The left half of the four columns, where the first has 9/10 and, at a logit of 3/4 ln 9 - 1/4 ln 3, 0.798.
    const sizes = { maskSize: [1, 4] as const, imageSizes: [[1, 2] as const] };
    const [instances] = await postProcessInstanceSegmentation(given, sizes);
    expect([...instances.segmentation.data]).toEqual([0, 0]);
    const score = 0.6 * ((0.9 + 1 / (1 + Math.exp(ln(3) / 4 - 0.75 * ln(9)))) / 2);
    expect(instances.segmentsInfo[0].score).toBeCloseTo(score, 5);
    const [panoptic] = await postProcessPanopticSegmentation(given, { ...sizes, targetSizes: [[2, 2]] });
    expect(panoptic.segmentation).toEqual({ data: Int32Array.of(1, 1, 1, 1), height: 2, width: 2 });
    dispose(Object.values(given));
  });

  it('resizes in bands as in one piece', async () => {
    const logits = tensor3d(randomValues(6 * 7 * 3, { low: -4, high: 4 }), [6, 7, 3]);
    const whole = resizedBand(logits, sizesTo([500, 30]), { first: 0, end: 500 }, (x) => x);
    const parts = [
      [0, 1],
      [1, 250],
      [250, 499],
      [499, 500],
    ].map(([first, end]) => resizedBand(logits, sizesTo([500, 30]), { first, end }, (x) => x));
    const joined = await Promise.all(parts.map(async (part) => [...(await part.data())]));
    // A matrix product of another number of rows may round in another order, depending on the CPU.
    await expectClose(joined.flat(), [...(await whole.data())], { relative: 2 ** -23 });
    dispose([logits, whole, ...parts]);
  });
});

describeOnBackends('large images', () => {
  it('take a band of rows at a time', () => {
    const size = sizesTo([2048, 2048]);
    const bands = bandsOf(size, 100);
    expect(bands[0].first).toBe(0);
    expect(bands.at(-1)?.end).toBe(2048);
    bands.slice(1).forEach(({ first }, i) => {
      expect(first).toBe(bands[i].end);
    });
    const logits = tensor3d(randomValues(32 * 32 * 100), [32, 32, 100]);
    const peak = peakBytes(() => resizedBand(logits, size, bands[0], (x) => x).dispose());
    // The masks at this size would take 1.7 GB.
    expect(peak).toBeLessThan(6 * 2 ** 25);
    logits.dispose();
  });

  it('take enough of the grid for each row where they are small', () => {
    expect(bandsOf(sizesTo([10, 10]), 100)).toHaveLength(2);
    expect(bandsOf(sizesTo([1, 1]), 1000)).toEqual([{ first: 0, end: 1 }]);
  });
}, ['native']);

it('lists the runs of each number, starts from 1', () => {
  expect(runLengths({ data: Int32Array.of(-1, 0, 0, -1, 2, 0), height: 2, width: 3 })).toEqual([
    [1, 1, 4, 1],
    [2, 2, 6, 1],
    [5, 1],
  ]);
});

it('takes an axis of its own length as it is', () => {
  expect([...bilinearTaps(5, 5).low]).toEqual([0, 1, 2, 3, 4]);
  expect([...bilinearTaps(5, 5).share]).toEqual([0, 0, 0, 0, 0]);
});

describeOnBackends('inference says what is wrong', () => {
  const given = (change: Partial<Prediction> = {}): Prediction => ({ ...byHand(), ...change });
  const both = [postProcessInstanceSegmentation, postProcessPanopticSegmentation, postProcessSemanticSegmentation];

  it('with shapes', async () => {
    for (const run of both) {
      await expect(run(given({ masksQueriesLogits: tensor4d([1, 2, 3], [1, 3, 1, 1]) }))).rejects.toThrow(
        `${run.name}: class logits are [B, Q, V + 1] and mask logits [B, Q, H, W]; got [1,2,3] and [1,3,1,1]; give what the model returned`,
      );
    }
  });

  it('with target sizes', async () => {
    for (const run of both) {
      await expect(
        run(given(), {
          targetSizes: [
            [1, 2],
            [3, 4],
          ],
        }),
      ).rejects.toThrow(
        `${run.name}: targetSizes has one size for each image; got 2 for 1; give the [height, width] of each`,
      );
      await expect(run(given(), { targetSizes: [] })).rejects.toThrow(
        'targetSizes has one size for each image; got 0 for 1',
      );
      await expect(run(given(), { targetSizes: [[1, 0.5]] })).rejects.toThrow(
        `${run.name}: targetSizes are whole numbers from 1 up; got [1,0.5] for image 0; give [height, width] in pixels`,
      );
    }
  });

  it('with the sizes of masks and of images', async () => {
    for (const run of both) {
      await expect(run(given(), { maskSize: [0, 5] })).rejects.toThrow(
        `${run.name}: maskSize are whole numbers from 1 up; got [0,5]; give [height, width] in pixels`,
      );
      await expect(run(given(), { maskSize: [8, 8], imageSizes: [[4, 9]] })).rejects.toThrow(
        `${run.name}: imageSizes are parts of maskSize, [8,8]; got [4,9] for image 0; give maskSize the height and width of the model's input`,
      );
      await expect(
        run(given(), {
          imageSizes: [
            [1, 1],
            [1, 1],
          ],
        }),
      ).rejects.toThrow(
        `${run.name}: imageSizes has one size for each image; got 2 for 1; give the [height, width] of each`,
      );
    }
  });

  it('with thresholds', async () => {
    await expect(postProcessInstanceSegmentation(given(), { threshold: 50 })).rejects.toThrow(
      'postProcessInstanceSegmentation: threshold is from 0 to 1; got 50; it is a probability or a share',
    );
    for (const name of ['threshold', 'maskThreshold', 'overlapMaskAreaThreshold']) {
      await expect(postProcessPanopticSegmentation(given(), { [name]: Number.NaN })).rejects.toThrow(
        `postProcessPanopticSegmentation: ${name} is from 0 to 1; got NaN; it is a probability or a share`,
      );
    }
  });

  it('with classes to fuse', async () => {
    await expect(postProcessPanopticSegmentation(given(), { labelIdsToFuse: [0, 2] })).rejects.toThrow(
      "postProcessPanopticSegmentation: labelIdsToFuse are classes, from 0 to 1; got 2; give the model's own numbers",
    );
  });

  it('with logits that are not finite, by image and query', async () => {
    const classes = tensor3d([0, 0, 0, 0, 0, 0, 0, 0, 0, Number.NaN, 0, 0], [2, 2, 3]);
    const masks = tensor4d([0, 0, 0, Number.POSITIVE_INFINITY, 0, 0, 0, 0], [2, 2, 1, 2]);
    const zeros = tensor3d(new Float32Array(12), [2, 2, 3]);
    for (const run of both) {
      await expect(run({ classQueriesLogits: classes, masksQueriesLogits: masks })).rejects.toThrow(
        `${run.name}: logits are finite; got NaN in the class logits of image 1, query 1; look at the weights and the input`,
      );
      await expect(run({ classQueriesLogits: zeros, masksQueriesLogits: masks })).rejects.toThrow(
        `${run.name}: logits are finite; got Infinity in the mask logits of image 0, query 1; look at the weights and the input`,
      );
    }
  });
});
