import { type Piece, resize, runAtOnce } from '@rass/kernels';
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

/** Sides are multiples of this many pixels, which are one of the latents. */
export const SIDE_MULTIPLE = 8;
/** The shortest side: below it the coarsest level has no place. */
export const SHORTEST_SIDE = STRIDES.res5;

/** A part of a map. */
export interface Place {
  readonly top: number;
  readonly left: number;
  readonly rows: number;
  readonly columns: number;
}

/** Of a window in the image itself. */
export const placeOf = ({ top, left, size }: Window): Place => ({ top, left, rows: size, columns: size });

/** Where a window lies in a level's map: both its ends are rounded down, so that windows leave no gap.
 * @source github.com/Ka1Guan/RASS FeatureProjection.slide_forward */
function placeIn({ top, left, size }: Window, stride: number): Place {
  const [row, column] = [Math.floor(top / stride), Math.floor(left / stride)];
  return {
    top: row,
    left: column,
    rows: Math.floor((top + size) / stride) - row,
    columns: Math.floor((left + size) / stride) - column,
  };
}

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
  add(map_BHWC: Tensor4D, { top, left, rows, columns }: Place): void {
    for (let row = top; row < top + rows; row++) {
      const start = row * this.#width + left;
      for (let i = start; i < start + columns; i++) this.#counts[i] += 1;
    }
    const before = this.#sum;
    try {
      this.#sum = tidy(() => {
        const placed = pad(map_BHWC, [
          [0, 0],
          [top, this.#height - top - rows],
          [left, this.#width - left - columns],
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
 * A level's sizes are rounded down. A window whose place in a map is a row or a column longer than what was made of it, which upstream fails at,
 * is resized to the nearest of it.
 * @shape image [B, H, W, C], H and W multiples of 8, 32 at least -> see FeaturePyramid
 * @throws when a side is neither, or a window's features are not of its size
 * @source github.com/Ka1Guan/RASS FeatureProjection.slide_forward; golden/rass/sliding */
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
  if (H % SIDE_MULTIPLE !== 0 || W % SIDE_MULTIPLE !== 0 || Math.min(H, W) < SHORTEST_SIDE) {
    throw new Error(
      `slidingFeatures: sides are multiples of ${SIDE_MULTIPLE}, ${SHORTEST_SIDE} at least; got ${H} x ${W}; pad the image first (padImage)`,
    );
  }
  const means = LEVELS.map((level) => new WindowMean(Math.floor(H / STRIDES[level]), Math.floor(W / STRIDES[level])));
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
function addLevels(means: readonly WindowMean[], found: FeaturePyramid, window: Window): void {
  const sizeOf = (level: Level): number => Math.floor(window.size / STRIDES[level]);
  const wrong = LEVELS.find((level) => {
    const [, rows, columns] = found[level].shape;
    return rows !== sizeOf(level) || columns !== sizeOf(level);
  });
  try {
    if (wrong !== undefined) {
      throw new Error(
        `slidingFeatures: ${wrong} of a window of ${window.size} pixels has ${sizeOf(wrong)} rows and columns; got [${found[wrong].shape}]; check the backbone`,
      );
    }
    for (const [i, level] of LEVELS.entries()) {
      const place = placeIn(window, STRIDES[level]);
      const fits = place.rows === sizeOf(level) && place.columns === sizeOf(level);
      means[i].add(fits ? found[level] : resize(found[level], [place.rows, place.columns], 'nearest'), place);
    }
  } finally {
    dispose({ ...found });
  }
}
