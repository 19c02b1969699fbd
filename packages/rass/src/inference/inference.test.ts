import type { FeaturePyramid, Mask2FormerOutput } from '@rass/mask2former';
import { describeOnBackends, expectClose, expectNoLeaks, expectNoLeaksOnFaults, randomValues } from '@rass/testkit';
import {
  add,
  avgPool,
  dispose,
  fill,
  matMul,
  memory,
  mul,
  range,
  reshape,
  reverse,
  slice,
  type Tensor,
  type Tensor4D,
  tensor,
  tensor3d,
  tensor4d,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type InferenceProgress,
  padImage,
  type Segmenter,
  semanticInference,
  semanticInferenceAsync,
  semanticScores,
} from './semantic.ts';
import { slidingFeatures, squareWindows } from './windows.ts';

const image = (H: number, W: number): Tensor4D => tensor4d(randomValues(H * W * 3, { seed: 5 }), [1, H, W, 3]);
const pooled = (x: Tensor4D, stride: number): Tensor4D => avgPool(x, stride, stride, 'valid');

/** Features that depend on the pixels beneath them alone. */
const local = (x: Tensor4D): FeaturePyramid => ({
  res2: pooled(x, 4),
  res3: pooled(x, 8),
  res4: pooled(x, 16),
  res5: pooled(x, 32),
});

/** Two queries of three classes; their masks are products of the finest features. */
const head = ({ res2 }: FeaturePyramid): Mask2FormerOutput => {
  const [B, H, W, C] = res2.shape;
  const weights = tensor([3, -2, 1, 0.5, 4, -1], [2, C]);
  const masks = matMul(weights, reshape(res2, [B * H * W, C]) as never, false, true) as Tensor;
  return {
    classQueriesLogits: tensor3d([1, 0, 2, -1, 0, 3, 1, 0.5], [1, 2, 4]),
    masksQueriesLogits: reshape(masks, [B, 2, H, W]) as Tensor4D,
    auxiliary: [],
  };
};
const segmenter: Segmenter = { features: (x) => ({ ...tidy(() => ({ ...local(x) })) }), head };

it.each([
  [64, 64, [[0, 0]]],
  [64, 128, [[0, 0], [0, 64]]], // biome-ignore format: pairs
  [64, 160, [[0, 0], [0, 64], [0, 96]]], // biome-ignore format: pairs
  [160, 64, [[0, 0], [64, 0], [96, 0]]], // biome-ignore format: pairs
])('windows of %i x %i lie side by side, the last moved back', (height, width, places) => {
  const size = Math.min(height, width);
  expect(squareWindows({ height, width })).toEqual(places.map(([top, left]) => ({ top, left, size })));
});

describeOnBackends('sliding windows', () => {
  it('give the same as the whole image where features are local, for features and for scores', async () => {
    const x = image(64, 160);
    await expectNoLeaks(async () => {
      const [sliding, byScores, whole] = [
        semanticInference(segmenter, x),
        semanticInference(segmenter, x, { average: 'scores' }),
        semanticInference(segmenter, x, { mode: 'whole' }),
      ];
      expect(sliding.shape).toEqual([1, 64, 160, 3]);
      await expectClose(sliding, whole, { relative: 1e-5 });
      // Scores are enlarged within their window, which shows near its edges alone.
      const inner = [byScores, whole].map((scores) => slice(scores, [0, 0, 0, 0], [1, 64, 56, 3]));
      await expectClose(inner[0], inner[1], { relative: 1e-5 });
      dispose([sliding, byScores, whole, ...inner]);
    });
    x.dispose();
  });

  it('average where they overlap', async () => {
    const x = image(32, 80);
    let window = 0;
    const wide = padImage(x, { multiple: 32, value: 0 });
    const features = slidingFeatures(wide, () => {
      window++;
      const level = (size: number): Tensor4D => fill([1, size, size, 1], window) as Tensor4D;
      return { res2: level(8), res3: level(4), res4: level(2), res5: level(1) };
    });
    // Three windows of 96 columns: none overlaps.
    await expectClose(features.res5, tensor([1, 2, 3], [1, 1, 3, 1]));
    dispose([wide, { ...features }] as never);
    window = 0;
    const tall = zeros([1, 96, 64, 3]) as Tensor4D;
    const overlapping = slidingFeatures(tall, () => {
      window++;
      const level = (size: number): Tensor4D => fill([1, size, size, 1], window) as Tensor4D;
      return { res2: level(16), res3: level(8), res4: level(4), res5: level(2) };
    });
    // The second begins at row 32, within the first: rows of 32 pixels have 1, (1 + 2) / 2 and 2.
    await expectClose(overlapping.res5, tensor([1, 1, 1.5, 1.5, 2, 2], [1, 3, 2, 1]));
    dispose([x, tall, { ...overlapping }] as never);
  });

  it('free what they made where a window fails, and name features of another size', () => {
    const x = image(64, 128);
    const before = memory().numTensors;
    let calls = 0;
    const failing = () =>
      slidingFeatures(x, (part) => {
        if (++calls === 2) throw new Error('stopped');
        return segmenter.features(part);
      });
    expect(failing).toThrow('stopped');
    expect(memory().numTensors).toBe(before);
    const small = (part: Tensor4D) => ({ ...segmenter.features(part), res5: zeros([1, 1, 1, 3]) as Tensor4D });
    expect(() => tidy(() => slidingFeatures(x, small) as never)).toThrow(
      'slidingFeatures: res5 of a window of 64 pixels has 2 rows and columns; got [1,1,1,3]; check the backbone',
    );
    expect(memory().numTensors).toBe(before);
    const odd = image(60, 128);
    expect(() => slidingFeatures(odd, segmenter.features)).toThrow(
      'slidingFeatures: sides are multiples of 32; got 60 x 128; pad the image first (padImage)',
    );
    dispose([x, odd]);
  });
});

describeOnBackends('semanticInference', () => {
  it('sums class probabilities times masks', async () => {
    const output = {
      // Sure of class 1, and of "no object".
      classQueriesLogits: tensor3d([0, 40, 0, 0, 0, 40], [1, 2, 3]),
      masksQueriesLogits: tensor4d([0, 20, 20, 20], [1, 2, 1, 2]),
      auxiliary: [],
    };
    await expectClose(semanticScores(output, [1, 2]), tensor([0, 0.5, 0, 1], [1, 1, 2, 2]));
  });

  it('gives the mirrored image the mirrored scores, with flip, whatever the network prefers', async () => {
    const x = image(64, 64);
    // Looks at columns, too: without flip the mirror image gets other scores.
    const leaning: Segmenter = {
      ...segmenter,
      features: (part) => {
        const ramp = reshape(range(0, part.shape[2] / 4), [1, 1, part.shape[2] / 4, 1]);
        const found = segmenter.features(part);
        return { ...found, res2: add(found.res2, mul(ramp, 0.05)) as Tensor4D };
      },
    };
    const scores = (input: Tensor4D, flip: boolean): Tensor4D =>
      tidy(() => semanticInference(leaning, input, { flip, scales: flip ? [1, 1.5] : [1] }));
    const mirror = reverse(x, 2) as Tensor4D;
    await expectClose(reverse(scores(mirror, true), 2), scores(x, true), { relative: 1e-5 });
    const [one, other] = [await scores(x, false).data(), await reverse(scores(mirror, false), 2).data()];
    expect(one.some((value, i) => Math.abs(value - other[i]) > 1e-3)).toBe(true);
  });

  it('pads what does not fit with black and takes the padding off, at every scale, without a leak', async () => {
    const x = image(50, 70);
    await expectNoLeaks(async () => {
      const seen: number[][] = [];
      const spy: Segmenter = {
        ...segmenter,
        features: (part) => {
          seen.push(part.shape);
          return segmenter.features(part);
        },
      };
      const scores = semanticInference(spy, x, { scales: [1, 2], flip: true, mode: 'whole' });
      expect(scores.shape).toEqual([1, 50, 70, 3]);
      expect(seen).toEqual([
        [1, 64, 128, 3],
        [1, 64, 128, 3],
        [1, 128, 192, 3],
        [1, 128, 192, 3],
      ]);
      scores.dispose();
      const padded = padImage(x, { multiple: 64 });
      const corner = slice(padded, [0, 63, 127, 0], [1, 1, 1, 3]);
      await expectClose(await corner.data(), [-1, -1, -1]);
      dispose([padded, corner]);
    });
    x.dispose();
  });

  it('does the same with pauses, and leaves nothing behind when it is stopped', async () => {
    const x = image(64, 160);
    const options = { scales: [1, 1.5], flip: true, average: 'scores' } as const;
    await expectNoLeaks(async () => {
      for (const average of ['features', 'scores'] as const) {
        let pieces = { done: 0, pieces: 0 };
        const atOnce = semanticInference(segmenter, x, { ...options, average });
        const slowly = await semanticInferenceAsync(segmenter, x, {
          ...options,
          average,
          onPiece: (progress) => (pieces = progress),
        });
        expect(Array.from(await slowly.data())).toEqual(Array.from(await atOnce.data()));
        // Three windows of 64 x 192, two of 128 x 256, each twice, and four views.
        expect(pieces).toEqual({ done: 14, pieces: 2 * (3 + 2) + 4 });
        dispose([atOnce, slowly]);
        for (const last of [1, 4, 7, 14]) {
          const controller = new AbortController();
          const onPiece = ({ done }: InferenceProgress) => done === last && controller.abort(new Error('enough'));
          const stopped = semanticInferenceAsync(segmenter, x, {
            ...options,
            average,
            onPiece,
            signal: controller.signal,
          });
          await expect(stopped).rejects.toThrow('enough');
        }
      }
    });
    x.dispose();
  });

  it('says what does not fit', () => {
    const x = image(64, 64);
    const call =
      (options: object, input = x) =>
      () =>
        semanticInference(segmenter, input, options);
    expect(call({ scales: [] })).toThrow(
      'semanticInference: scales are numbers above 0, at least one; got []; [1] is usual',
    );
    expect(call({ scales: [1, 0] })).toThrow('got [1,0]');
    expect(call({ multiple: 48 })).toThrow(
      'semanticInference: sides are padded to a multiple of 32; got 48; 64 is usual',
    );
    expect(call({}, zeros([1, 0, 5, 3]) as Tensor4D)).toThrow(
      'semanticInference: an image is [B, H, W, 3]; got [1,0,5,3]; give one that has pixels',
    );
  });
});

// What is held and freed is the same on all backends.
describeOnBackends('semanticInference with a fault', () => {
  it('leaves nothing behind where a kernel fails or values cannot be read', async () => {
    const x = image(32, 64);
    const places = { places: 60 };
    for (const average of ['features', 'scores'] as const) {
      await expectNoLeaksOnFaults(async () => {
        const scores = await semanticInferenceAsync(segmenter, x, { average, scales: [1, 2], multiple: 32 });
        scores.dispose();
      }, places);
    }
    x.dispose();
  });
}, ['cpu', 'native']);
