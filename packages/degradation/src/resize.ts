import type { PlanarImage } from './image.ts';

/** How pixels are found when an image changes its size, by torch's names. */
export const RESIZE_MODES = ['area', 'bilinear', 'bicubic'] as const;
export type ResizeMode = (typeof RESIZE_MODES)[number];

export interface ResizeRecord {
  readonly mode: ResizeMode;
  readonly width: number;
  readonly height: number;
  /** Where the size was found by a factor: places follow it, and not the quotient of the sizes, which are rounded. */
  readonly factor?: number;
}

/** What each of `count` places of a line takes from another line: `taps` places and their shares. */
interface LineTaps {
  readonly taps: number;
  readonly places: Int32Array;
  readonly shares: Float32Array;
}

/** The sharpness of the cubic, as torch has it. */
const CUBIC = -0.75;

function cubicShares(offset: number): number[] {
  const near = (x: number): number => ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
  const far = (x: number): number => ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC;
  return [far(1 + offset), near(offset), near(1 - offset), far(2 - offset)];
}

function areaTaps(from: number, to: number): LineTaps {
  const first = (i: number): number => Math.floor((i * from) / to);
  const end = (i: number): number => Math.ceil(((i + 1) * from) / to);
  let taps = 0;
  for (let i = 0; i < to; i++) taps = Math.max(taps, end(i) - first(i));
  const places = new Int32Array(to * taps);
  const shares = new Float32Array(to * taps);
  for (let i = 0; i < to; i++) {
    const count = end(i) - first(i);
    places.fill(first(i), i * taps, (i + 1) * taps);
    for (let tap = 0; tap < count; tap++) places[i * taps + tap] = first(i) + tap;
    shares.fill(1 / count, i * taps, i * taps + count);
  }
  return { taps, places, shares };
}

function pointTaps(mode: 'bilinear' | 'bicubic', from: number, to: number, factor: number | undefined): LineTaps {
  const taps = mode === 'bilinear' ? 2 : 4;
  const places = new Int32Array(to * taps);
  const shares = new Float32Array(to * taps);
  // Places are float32 in torch: the same roundings find the same pixels.
  const step = Math.fround(factor === undefined ? Math.fround(from) / Math.fround(to) : 1 / factor);
  for (let i = 0; i < to; i++) {
    const exact = Math.fround(Math.fround(step * (i + 0.5)) - 0.5);
    const place = mode === 'bilinear' ? Math.max(0, exact) : exact;
    const first = Math.min(Math.floor(place), from - 1);
    const offset = Math.min(1, Math.max(0, Math.fround(place - first)));
    const parts = mode === 'bilinear' ? [1 - offset, offset] : cubicShares(offset);
    for (let tap = 0; tap < taps; tap++) {
      const at = mode === 'bilinear' ? first + tap : first + tap - 1;
      places[i * taps + tap] = Math.min(from - 1, Math.max(0, at));
      shares[i * taps + tap] = parts[tap];
    }
  }
  return { taps, places, shares };
}

const lineTaps = (mode: ResizeMode, from: number, to: number, factor?: number): LineTaps =>
  mode === 'area' ? areaTaps(from, to) : pointTaps(mode, from, to, factor);

/** Every row of the planes, one below the other, made as long as the taps are many. */
function resizeRows(data: Float32Array, width: number, { taps, places, shares }: LineTaps): Float32Array<ArrayBuffer> {
  const count = places.length / taps;
  const rows = data.length / width;
  const out = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    const line = row * width;
    const to = row * count;
    if (taps === 2) {
      for (let i = 0, t = 0; i < count; i++, t += 2) {
        out[to + i] = shares[t] * data[line + places[t]] + shares[t + 1] * data[line + places[t + 1]];
      }
      continue;
    }
    for (let i = 0, t = 0; i < count; i++) {
      let sum = 0;
      for (const end = t + taps; t < end; t++) sum += shares[t] * data[line + places[t]];
      out[to + i] = sum;
    }
  }
  return out;
}

function resizeColumns(data: Float32Array, width: number, height: number, lines: LineTaps): Float32Array<ArrayBuffer> {
  const { taps, places, shares } = lines;
  const count = places.length / taps;
  const out = new Float32Array(3 * width * count);
  const sums = new Float64Array(width);
  for (let row = 0; row < 3 * count; row++) {
    const channel = Math.floor(row / count);
    const first = (row % count) * taps;
    sums.fill(0);
    for (let tap = first; tap < first + taps; tap++) {
      const share = shares[tap];
      if (share === 0) continue;
      const line = (channel * height + places[tap]) * width;
      for (let x = 0; x < width; x++) sums[x] += share * data[line + x];
    }
    out.set(sums, row * width);
  }
  return out;
}

/** The image at another size.
 * @throws when a side is not a whole number above 0
 * @source torch.nn.functional.interpolate, without corners aligned; golden/degradation/resize */
export function resize(image: PlanarImage, { mode, width, height, factor }: ResizeRecord): PlanarImage {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new Error(`resize: sides are whole numbers above 0; got ${width} x ${height}; give the size in pixels`);
  }
  const same = width === image.width && height === image.height;
  // Torch does just so: a factor that leaves the size moves places a little where the mode is bicubic, else nothing.
  if (same && (mode !== 'bicubic' || factor === undefined || factor === 1)) return image;
  const rows = resizeRows(image.data, image.width, lineTaps(mode, image.width, width, factor));
  const data = resizeColumns(rows, width, image.height, lineTaps(mode, image.height, height, factor));
  return { width, height, data };
}
