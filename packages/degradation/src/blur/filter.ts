import { emptyPlanar, type PlanarImage } from '../image.ts';
import { MODULE } from './correlate-module.ts';
import type { Kernel } from './kernel.ts';

type Correlate = (
  source: number,
  stride: number,
  kernel: number,
  kernelWidth: number,
  kernelHeight: number,
  target: number,
  blocks: number,
  rows: number,
) => void;

/** Values of a row that the module computes at once. */
const BLOCK = 32;
const PAGE_BYTES = 65536;
/** A kernel is taken for a column times a row where no weight is off by more than this share of the largest: float32's own rounding. */
const SEPARABLE_WITHIN = 2 ** -22;
/** What a border of weights may add up to and yet be left out: it is lost in float32. */
const NOTHING = 2 ** -30;

let loaded: { readonly memory: WebAssembly.Memory; readonly correlate: Correlate } | undefined;

/** The module, with a memory of so many float32 at least. */
function correlation(floats: number): { readonly values: Float32Array; readonly correlate: Correlate } {
  if (loaded === undefined) {
    const bytes = Uint8Array.from(atob(MODULE), (character) => character.charCodeAt(0));
    const memory = new WebAssembly.Memory({ initial: 1 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
    loaded = { memory, correlate: exports.correlate as Correlate };
  }
  const { memory, correlate } = loaded;
  const missing = 4 * floats - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  return { values: new Float32Array(memory.buffer), correlate };
}

/** The kernel without borders of weights that change nothing. */
function trimmed({ size, weights }: Kernel): Kernel {
  let border = 0;
  let lost = 0;
  for (; border < (size - 1) / 2; border++) {
    const last = size - 1 - border;
    for (let i = border; i <= last; i++) {
      const edges = [border * size + i, last * size + i, i * size + border, i * size + last];
      for (const edge of edges) lost += Math.abs(weights[edge]);
    }
    if (lost > NOTHING) break;
  }
  if (border === 0) return { size, weights };
  const side = size - 2 * border;
  const at = (i: number): number => (border + Math.floor(i / side)) * size + border + (i % side);
  return { size: side, weights: Float32Array.from({ length: side * side }, (_, i) => weights[at(i)]) };
}

/** The column and the row whose product the kernel is, where it is one. */
function separated({ size, weights }: Kernel): { column: Float32Array; row: Float32Array } | undefined {
  let peak = 0;
  for (let i = 1; i < weights.length; i++) if (Math.abs(weights[i]) > Math.abs(weights[peak])) peak = i;
  const [y, x] = [Math.floor(peak / size), peak % size];
  const row = weights.slice(y * size, (y + 1) * size);
  const column = Float32Array.from({ length: size }, (_, i) => weights[i * size + x] / weights[peak]);
  const bound = Math.abs(weights[peak]) * SEPARABLE_WITHIN;
  for (let i = 0; i < weights.length; i++) {
    if (Math.abs(weights[i] - column[Math.floor(i / size)] * row[i % size]) > bound) return undefined;
  }
  return { column, row };
}

/** Where each of `count + 2 radius` places is found when a line of `count` is reflected at its ends, as often as needed. */
function reflected(count: number, radius: number): Int32Array {
  const period = Math.max(1, 2 * (count - 1));
  return Int32Array.from({ length: count + 2 * radius }, (_, i) => {
    const place = (((i - radius) % period) + period) % period;
    return place < count ? place : period - place;
  });
}

/** Copies a plane to a place of the memory, with its reflections around it. */
function pad(plane: Float32Array, width: number, places: { x: Int32Array; y: Int32Array }, to: Float32Array): void {
  const radius = (places.x.length - width) / 2;
  const stride = to.length / places.y.length;
  for (let y = 0; y < places.y.length; y++) {
    const line = places.y[y] * width;
    const start = y * stride;
    to.set(plane.subarray(line, line + width), start + radius);
    for (let i = 0; i < radius; i++) {
      to[start + i] = plane[line + places.x[i]];
      to[start + radius + width + i] = plane[line + places.x[radius + width + i]];
    }
  }
}

/** Correlates each plane with a kernel; outside of it the image is reflected, without its edge, as often as a small one needs.
 * @throws when the kernel has no middle, or another number of weights
 * @source basicsr 1.4.2 filter2D; golden/degradation/filter */
export function filter2d(image: PlanarImage, kernel: Kernel): PlanarImage {
  const { width, height } = image;
  if (kernel.size % 2 !== 1 || kernel.weights.length !== kernel.size ** 2) {
    throw new Error(
      `filter2d: a kernel has an odd size and size x size weights; got ${kernel.size} and ${kernel.weights.length}; give a square`,
    );
  }
  const { size, weights } = trimmed(kernel);
  if (size === 1) return { width, height, data: image.data.map((value) => value * weights[0]) };
  const radius = (size - 1) / 2;
  const parts = separated({ size, weights });
  const blocks = Math.ceil(width / BLOCK);
  const stride = blocks * BLOCK + size - 1;
  const rows = height + size - 1;
  // In the memory, in float32: the kernel, the padded plane, the plane between two passes, the result.
  const source = size * size;
  const between = source + rows * stride;
  const target = between + (parts === undefined ? 0 : rows * blocks * BLOCK);
  const { values, correlate } = correlation(target + height * blocks * BLOCK);
  if (parts === undefined) values.set(weights);
  else values.set([...parts.row, ...parts.column]);
  const places = { x: reflected(width, radius), y: reflected(height, radius) };
  const padded = values.subarray(source, between);
  const out = emptyPlanar(width, height);
  for (let channel = 0; channel < 3; channel++) {
    const plane = channel * width * height;
    pad(image.data.subarray(plane, plane + width * height), width, places, padded);
    if (parts === undefined) {
      correlate(4 * source, stride, 0, size, size, 4 * target, blocks, height);
    } else {
      correlate(4 * source, stride, 0, size, 1, 4 * between, blocks, rows);
      correlate(4 * between, blocks * BLOCK, 4 * size, 1, size, 4 * target, blocks, height);
    }
    for (let y = 0; y < height; y++) {
      const line = target + y * blocks * BLOCK;
      out.data.set(values.subarray(line, line + width), plane + y * width);
    }
  }
  return out;
}
