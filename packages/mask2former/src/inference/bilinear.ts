import { add, gather, mul, sub, type Tensor1D, type Tensor3D, tensor, tensor1d, tidy } from '@tensorflow/tfjs-core';

/** For each place along an axis the two places it lies between, and the share that the second one has. */
export interface Taps {
  readonly low: Int32Array<ArrayBuffer>;
  readonly high: Int32Array<ArrayBuffer>;
  readonly share: Float32Array<ArrayBuffer>;
}

/** How PyTorch's bilinear interpolate without aligned corners sees an axis, in single precision as there: pixels at a
 * border between segments would fall differently otherwise. @source aten area_pixel_compute_source_index */
export function bilinearTaps(from: number, to: number): Taps {
  const [low, high, share] = [new Int32Array(to), new Int32Array(to), new Float32Array(to)];
  const scale = Math.fround(from / to);
  for (let i = 0; i < to; i++) {
    const position = Math.max(0, Math.fround(Math.fround(scale * (i + 0.5)) - 0.5));
    low[i] = Math.min(from - 1, Math.floor(position));
    high[i] = Math.min(from - 1, low[i] + 1);
    share[i] = Math.min(1, position - low[i]);
  }
  return { low, high, share };
}

/** The taps of places from `first` to before `end`, on an axis that begins at `origin`. */
export function tapsBetween({ low, high, share }: Taps, first: number, end: number, origin: number): Taps {
  return {
    low: low.subarray(first, end).map((at) => at - origin),
    high: high.subarray(first, end).map((at) => at - origin),
    share: share.subarray(first, end),
  };
}

const isWhole = ({ low, share }: Taps, length: number): boolean =>
  low.length === length && share.every((value) => value === 0) && low.every((at, i) => at === i);

function interpolateAxis(x_HWC: Tensor3D, axis: 0 | 1, taps: Taps): Tensor3D {
  if (isWhole(taps, x_HWC.shape[axis])) return x_HWC;
  return tidy(() => {
    const share = tensor(taps.share, axis === 0 ? [taps.share.length, 1, 1] : [1, taps.share.length, 1]);
    const at = (places: Int32Array): Tensor3D => gather(x_HWC, tensor1d(places, 'int32') as Tensor1D, axis);
    const low = at(taps.low);
    return add(low, mul(sub(at(taps.high), low), share)) as Tensor3D;
  });
}

/** Columns first: rows, the larger part, are then copied whole. @shape [H, W, C] -> [rows, columns, C] */
export function interpolate(x_HWC: Tensor3D, rows: Taps, columns: Taps): Tensor3D {
  return interpolateAxis(interpolateAxis(x_HWC, 1, columns), 0, rows);
}
