import { BLOCK } from './method.ts';

/** Bits of a float32 without its sign grow with its magnitude. */
const MAGNITUDE = 0x7fffffff;
const HALF = 16;

/** Float32 values that are made a block at a time, such as differences that are not worth storing. */
export interface Blocks {
  readonly length: number;
  /** Fills `into` with the values from `start` on. */
  readonly fill: (start: number, into: Float32Array) => void;
}

/** The smallest magnitude that is kept, as bits, and how many of exactly that one. */
export interface Threshold {
  readonly bits: number;
  readonly equals: number;
}

/** Runs over the magnitudes' bits. */
function eachMagnitude({ length, fill }: Blocks, see: (bits: Uint32Array, count: number) => void): void {
  const values = new Float32Array(Math.min(BLOCK, length));
  const bits = new Uint32Array(values.buffer);
  for (let start = 0; start < length; start += BLOCK) {
    const count = Math.min(BLOCK, length - start);
    fill(start, values.subarray(0, count));
    see(bits, count);
  }
}

/** The bin in which the wanted one lies, counted from the largest, and how many of it are wanted. */
function binOf(histogram: Uint32Array, wanted: number): { bin: number; rest: number } {
  let bin = histogram.length - 1;
  let rest = wanted;
  while (bin > 0 && histogram[bin] < rest) rest -= histogram[bin--];
  return { bin, rest };
}

/** The magnitude of the `count`-th largest value, in two passes over the bits: exact, and no value is stored or sorted. */
export function thresholdOf(blocks: Blocks, count: number): Threshold {
  const high = new Uint32Array(1 << HALF);
  eachMagnitude(blocks, (bits, n) => {
    for (let i = 0; i < n; i++) high[(bits[i] & MAGNITUDE) >>> HALF]++;
  });
  const top = binOf(high, count);
  const low = new Uint32Array(1 << HALF);
  eachMagnitude(blocks, (bits, n) => {
    for (let i = 0; i < n; i++) if ((bits[i] & MAGNITUDE) >>> HALF === top.bin) low[bits[i] & 0xffff]++;
  });
  const bottom = binOf(low, top.rest);
  return { bits: ((top.bin << HALF) | bottom.bin) >>> 0, equals: bottom.rest };
}

/** Whether a density keeps all, nothing, or at least one. @source mergekit sparsify */
export function keptCount(density: number, length: number): number {
  if (density >= 1) return length;
  return density <= 0 || length === 0 ? 0 : Math.max(1, Math.floor(density * length));
}
