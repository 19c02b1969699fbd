import { resize } from '@rass/kernels';
import type { FeaturePyramid, Mask2FormerOutput } from '@rass/mask2former';
import {
  describeOnBackends,
  expectClose,
  expectNoLeaks,
  expectNoLeaksOnFaults,
  loadGolden,
  randomValues,
} from '@rass/testkit';
import {
  add,
  avgPool,
  dispose,
  div,
  fill,
  matMul,
  mean,
  memory,
  mul,
  range,
  reshape,
  reverse,
  slice,
  sub,
  type Tensor,
  type Tensor4D,
  tensor,
  tensor3d,
  tensor4d,
  tidy,
  transpose,
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

interface GoldenSizes {
  readonly sizes: readonly [number, number][];
}

describeOnBackends('sliding windows', () => {
  const golden = loadGolden('rass/sliding');

  /** What the golden's features are made of: maps of the latents' size with the window's own mean in them, resized for each level. */
  const withMean = (window: Tensor4D): FeaturePyramid => {
    const level = (stride: number, factor: number): Tensor4D =>
      tidy(() => {
        const latents: Tensor4D = add(pooled(window, 8), mean(window));
        const size = Math.floor(window.shape[1] / stride);
        return mul(resize(latents, [size, size], 'nearest'), factor) as Tensor4D;
      });
    return { res2: level(4, 1), res3: level(8, 2), res4: level(16, 3), res5: level(32, 4) };
  };

  it.each((golden.config as GoldenSizes).sizes)('take their places by the released rule: %i x %i', async (H, W) => {
    const at = `${H}x${W}`;
    const { values } = golden.raw(`in/image.${at}`);
    await expectNoLeaks(async () => {
      const bytes = tensor4d(values as never, [1, 3, H, W], 'float32');
      const x = tidy(() => padImage(sub(div(transpose(bytes, [0, 2, 3, 1]), 127.5), 1) as Tensor4D, { multiple: 8 }));
      // As released, a square is looked at as a whole.
      const levels = slidingFeatures(x, withMean);
      for (const [name, level] of Object.entries({ ...levels })) {
        const theirs = golden.tensor(`out/${name}.${at}`);
        const expected = transpose(theirs, [0, 2, 3, 1]);
        await expectClose(level, expected, { relative: 1e-5, label: name });
        dispose([theirs, expected]);
      }
      dispose([bytes, x, { ...levels }] as never);
    });
  });

  it('stretch what is a row short of its place, where upstream fails', async () => {
    // 56 pixels have one place of 32; the second window, from 16 to 72, has the places 0 and 1.
    const x = image(56, 72);
    const features = slidingFeatures(x, (_, { left }) => {
      const level = (size: number): Tensor4D => fill([1, size, size, 1], left === 0 ? 1 : 5) as Tensor4D;
      return { res2: level(14), res3: level(7), res4: level(3), res5: level(1) };
    });
    await expectClose(features.res5, tensor([3, 5], [1, 1, 2, 1]));
    await expectClose(slice(features.res4, [0, 0, 0, 0], [1, 1, 4, 1]), tensor([1, 3, 3, 5], [1, 1, 4, 1]));
    dispose([x, { ...features }] as never);
  });

  it('take pictures of any size, the smallest, too', async () => {
    const sizes = [[1, 1], [3, 150], [33, 57], [200, 40], [129, 250]] as const; // biome-ignore format: pairs
    for (const [H, W] of sizes) {
      const x = image(H, W);
      await expectNoLeaks(async () => {
        const scores = semanticInference(segmenter, x, { flip: true });
        expect(scores.shape).toEqual([1, H, W, 3]);
        expect((await scores.data()).every(Number.isFinite)).toBe(true);
        scores.dispose();
      });
      x.dispose();
    }
  });

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
      'slidingFeatures: sides are multiples of 8, 32 at least; got 60 x 128; pad the image first (padImage)',
    );
    const low = image(24, 128);
    expect(() => slidingFeatures(low, segmenter.features)).toThrow('got 24 x 128');
    dispose([x, odd, low]);
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
        [1, 56, 72, 3],
        [1, 56, 72, 3],
        [1, 104, 144, 3],
        [1, 104, 144, 3],
      ]);
      scores.dispose();
      const padded = padImage(x, { multiple: 8 });
      const corner = slice(padded, [0, 55, 71, 0], [1, 1, 1, 3]);
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
        // Three windows of 64 x 160, three of 96 x 240, each twice, and four views.
        expect(pieces).toEqual({ done: 16, pieces: 2 * (3 + 3) + 4 });
        dispose([atOnce, slowly]);
        for (const last of [1, 4, 7, 16]) {
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
    expect(call({ multiple: 12 })).toThrow(
      'semanticInference: sides are padded to a multiple of 8; got 12; 8 is usual',
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
