import { type Piece, runAtOnce } from '@rass/kernels';
import type { FeaturePyramid } from '@rass/mask2former';
import { add, dispose, mul, pad, slice, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';

/** A square part of an image. */
export interface Window {
  readonly top: number;
  readonly left: number;
  readonly size: number;
}

const STRIDES = { res2: 4, res3: 8, res4: 16, res5: 32 } as const;
type Level = keyof typeof STRIDES;
const LEVELS = Object.keys(STRIDES) as Level[];

function starts(length: number, size: number): number[] {
  // The last is moved back, to end where the image ends.
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => Math.min(i * size, length - size));
}

/** Squares with the side of the image's shorter side, one beside the other, which cover the image; the last one overlaps.
 * @source github.com/Ka1Guan/RASS FeatureProjection.slide_forward */
export function squareWindows({ height, width }: { readonly height: number; readonly width: number }): Window[] {
  const size = Math.min(height, width);
  return starts(height, size).flatMap((top) => starts(width, size).map((left) => ({ top, left, size })));
}

/** Runs `run` on the part of an image that a window sees, and frees the part. @shape [B, H, W, C] -> [B, size, size, C] */
export function inWindow<T>(x_BHWC: Tensor4D, { top, left, size }: Window, run: (part_BHWC: Tensor4D) => T): T {
  const [B, , , C] = x_BHWC.shape;
  const part = slice(x_BHWC, [0, top, left, 0], [B, size, size, C]);
  try {
    return run(part);
  } finally {
    part.dispose();
  }
}

/** Sums of maps, each where its window is, and at the end their means. */
export class WindowMean {
  readonly #height: number;
  readonly #width: number;
  readonly #counts: Float32Array;
  #sum: Tensor4D | undefined;

  /** @param height of the whole map, in its own pixels */
  constructor(height: number, width: number) {
    this.#height = height;
    this.#width = width;
    this.#counts = new Float32Array(height * width);
  }

  /** Takes the map, and frees it, whatever happens. */
  add(map_BHWC: Tensor4D, { top, left, size }: Window): void {
    for (let row = top; row < top + size; row++) {
      const start = row * this.#width + left;
      for (let i = start; i < start + size; i++) this.#counts[i] += 1;
    }
    const before = this.#sum;
    try {
      this.#sum = tidy(() => {
        const placed = pad(map_BHWC, [
          [0, 0],
          [top, this.#height - top - size],
          [left, this.#width - left - size],
          [0, 0],
        ]);
        return before === undefined ? placed : add(before, placed);
      });
      before?.dispose();
    } finally {
      map_BHWC.dispose();
    }
  }

  /** The means, the caller's to dispose of. Ends this object's use. */
  finish(): Tensor4D {
    const sum = this.#sum;
    if (sum === undefined) throw new Error('WindowMean: at least one map was added; got none; add one');
    const shares = this.#counts.map((count) => 1 / count);
    const mean = tidy(() => mul(sum, tensor(shares, [1, this.#height, this.#width, 1])) as Tensor4D);
    this.dispose();
    return mean;
  }

  /** What was added so far; this object's own. */
  get sum(): Tensor4D | undefined {
    return this.#sum;
  }

  /** Frees what was added so far. */
  dispose(): void {
    this.#sum?.dispose();
    this.#sum = undefined;
  }
}

/** The features of a whole image from those of square windows, averaged where they overlap. Each window's are freed as they are added.
 * @shape image [B, H, W, C], H and W multiples of 32 -> see FeaturePyramid
 * @throws when a side is no multiple of 32, or a window's features are not of its size
 * @source github.com/Ka1Guan/RASS FeatureProjection.slide_forward */
export function slidingFeatures(
  image_BHWC: Tensor4D,
  features: (window_BHWC: Tensor4D, window: Window) => FeaturePyramid,
): FeaturePyramid {
  return runAtOnce(slidingWork(image_BHWC, features));
}

/** slidingFeatures window by window. */
export function* slidingWork(
  image_BHWC: Tensor4D,
  features: (window_BHWC: Tensor4D, window: Window) => FeaturePyramid,
): Generator<Piece, FeaturePyramid, void> {
  const [, H, W] = image_BHWC.shape;
  if (H % STRIDES.res5 !== 0 || W % STRIDES.res5 !== 0) {
    throw new Error(
      `slidingFeatures: sides are multiples of ${STRIDES.res5}; got ${H} x ${W}; pad the image first (padImage)`,
    );
  }
  const means = LEVELS.map((level) => new WindowMean(H / STRIDES[level], W / STRIDES[level]));
  try {
    for (const window of squareWindows({ height: H, width: W })) {
      addLevels(
        means,
        inWindow(image_BHWC, window, (part) => features(part, window)),
        window,
      );
      yield { made: means[0].sum! };
    }
    const [res2, res3, res4, res5] = tidy(() => means.map((mean) => mean.finish()));
    return { res2, res3, res4, res5 };
  } finally {
    for (const mean of means) mean.dispose();
  }
}

/** Takes a window's features, and frees them, whatever happens. */
function addLevels(means: readonly WindowMean[], found: FeaturePyramid, { top, left, size }: Window): void {
  const wrong = LEVELS.find((level) => {
    const [, rows, columns] = found[level].shape;
    return rows !== size / STRIDES[level] || columns !== size / STRIDES[level];
  });
  try {
    if (wrong !== undefined) {
      throw new Error(
        `slidingFeatures: ${wrong} of a window of ${size} pixels has ${size / STRIDES[wrong]} rows and columns; got [${found[wrong].shape}]; check the backbone`,
      );
    }
    for (const [i, level] of LEVELS.entries()) {
      const stride = STRIDES[level];
      means[i].add(found[level], { top: top / stride, left: left / stride, size: size / stride });
    }
  } finally {
    dispose({ ...found });
  }
}
