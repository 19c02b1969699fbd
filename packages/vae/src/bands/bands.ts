import { concat, slice, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { Held } from '../work.ts';

interface Strip {
  /** The image row that is the strip's first. */
  readonly from: number;
  /** [1, rows, W, C] */
  readonly rows: Tensor4D;
}

/** One image's features as horizontal strips, top to bottom, of which those above may be gone already. */
export interface Bands {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly strips: Strip[];
}

const endOf = ({ from, rows }: Strip): number => from + rows.shape[1];

/** @shape x [1, H, W, C] */
export function oneBand(x_BHWC: Tensor4D): Bands {
  const [, height, width, channels] = x_BHWC.shape;
  return { height, width, channels, strips: [{ from: 0, rows: x_BHWC }] };
}

/** The rows from `from` to before `to`, to be called inside a tidy: a strip that fits is returned itself.
 * @shape [1, to - from, W, C] */
export function takeRows({ strips }: Bands, from: number, to: number): Tensor4D {
  const parts = strips
    .filter((strip) => endOf(strip) > from && strip.from < to)
    .map((strip) => {
      const start = Math.max(from, strip.from);
      const rows = Math.min(to, endOf(strip)) - start;
      if (rows === strip.rows.shape[1]) return strip.rows;
      return slice(strip.rows, [0, start - strip.from, 0, 0], [1, rows, -1, -1]);
    });
  return parts.length === 1 ? parts[0] : concat(parts, 1);
}

/** Frees the strips that lie wholly above a row. */
export function freeAbove({ strips }: Bands, row: number, held: Held): void {
  while (strips.length > 0 && endOf(strips[0]) <= row) held.free((strips.shift() as Strip).rows);
}

/** One tensor of all strips, which are left as they are. @shape [1, H, W, C] */
export function joinRows(bands: Bands): Tensor4D {
  return tidy(() => {
    const all = takeRows(bands, 0, bands.height);
    return bands.strips.length === 1 ? all.clone() : all;
  });
}
