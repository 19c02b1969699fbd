import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import { hostMemory } from './memory.ts';

interface Sizes {
  readonly pixels: number;
  readonly heads: number;
  readonly channels: number;
  readonly queries: number;
  readonly points: number;
  /** Of each point: its level's columns, rows and first pixel. */
  readonly levels: readonly (readonly [columns: number, rows: number, start: number])[];
}

function sizesOf(inputs: Record<string, TensorInfo>, sizes: Float32Array): Sizes {
  const [, pixels, heads, channels] = inputs.value.shape;
  const [, queries, , points] = inputs.weights.shape;
  const each = points / (sizes.length / 2);
  const levels: [number, number, number][] = [];
  let start = 0;
  for (let g = 0; g < sizes.length; g += 2) {
    const [rows, columns] = [sizes[g], sizes[g + 1]];
    for (let i = 0; i < each; i++) levels.push([columns, rows, start]);
    start += rows * columns;
  }
  return { pixels, heads, channels, queries, points, levels };
}

/** The four pixels around one point: where they are, their shares in its value and the shares' derivatives by its place.
 * Those outside have offset -1. Reused from point to point. */
class Corners {
  readonly offset = new Int32Array(4);
  readonly share = new Float64Array(4);
  readonly byX = new Float64Array(4);
  readonly byY = new Float64Array(4);

  /** Whether any is inside. */
  find(s: Sizes, point: number, placeX: number, placeY: number): boolean {
    const [columns, rows, start] = s.levels[point];
    // Rounded as the other backends round it: a point on a pixel's centre belongs to one pixel.
    const x = Math.fround(Math.fround(placeX * columns) - 0.5);
    const y = Math.fround(Math.fround(placeY * rows) - 0.5);
    if (!(x > -1 && y > -1 && x < columns && y < rows)) return false;
    const left = Math.floor(x);
    const top = Math.floor(y);
    const right = x - left;
    const below = y - top;
    for (let corner = 0; corner < 4; corner++) {
      const dx = corner & 1;
      const dy = corner >> 1;
      const inside = left + dx >= 0 && top + dy >= 0 && left + dx < columns && top + dy < rows;
      const ofX = dx === 1 ? right : 1 - right;
      const ofY = dy === 1 ? below : 1 - below;
      this.offset[corner] = inside ? (start + (top + dy) * columns + left + dx) * s.heads * s.channels : -1;
      this.share[corner] = ofX * ofY;
      this.byX[corner] = (dx === 1 ? ofY : -ofY) * columns;
      this.byY[corner] = (dy === 1 ? ofX : -ofX) * rows;
    }
    return true;
  }
}

function addRow(from: Float32Array, at: number, factor: number, to: Float32Array, into: number, count: number): void {
  for (let k = 0; k < count; k++) to[into + k] += factor * from[at + k];
}

/** Adds the factor times dy to a row of the value's gradient; the dot product of dy with the value's row. */
function addAndDot(
  value: Float32Array,
  gradient: Float32Array,
  at: number,
  factor: number,
  dy: Float32Array,
  from: number,
  count: number,
): number {
  let dot = 0;
  for (let k = 0; k < count; k++) {
    const d = dy[from + k];
    dot += value[at + k] * d;
    gradient[at + k] += factor * d;
  }
  return dot;
}

/** Where a row of queries and heads begins in the value. */
const startOf = (s: Sizes, row: number): number =>
  Math.floor(row / (s.queries * s.heads)) * s.pixels * s.heads * s.channels + (row % s.heads) * s.channels;

const forward: KernelConfig['kernelFunc'] = ({ inputs }) => {
  const { value: v, sizes, locations: l, weights: w } = inputs as Record<string, TensorInfo>;
  const memory = hostMemory();
  const [batch, , heads, channels] = v.shape;
  const result = memory.output([batch, w.shape[1], heads * channels]);
  const [value, locations, weights, out] = [v, l, w, result].map(memory.values);
  const s = sizesOf(inputs as Record<string, TensorInfo>, memory.values(sizes));
  const corners = new Corners();
  for (let row = 0; row < weights.length / s.points; row++) {
    const start = startOf(s, row);
    for (let p = 0; p < s.points; p++) {
      const at = row * s.points + p;
      if (!corners.find(s, p, locations[2 * at], locations[2 * at + 1])) continue;
      for (let i = 0; i < 4; i++) {
        if (corners.offset[i] < 0) continue;
        addRow(value, start + corners.offset[i], corners.share[i] * weights[at], out, row * s.channels, s.channels);
      }
    }
  }
  return result;
};

const backward: KernelConfig['kernelFunc'] = ({ inputs }) => {
  const given = inputs as Record<string, TensorInfo>;
  const memory = hostMemory();
  const results = [given.value, given.locations, given.weights].map(({ shape }) => memory.output(shape));
  const [ofValue, ofLocations, ofWeights] = results.map(memory.values);
  const [value, locations, weights, dy] = [given.value, given.locations, given.weights, given.dy].map(memory.values);
  const s = sizesOf(given, memory.values(given.sizes));
  const corners = new Corners();
  for (let row = 0; row < weights.length / s.points; row++) {
    const start = startOf(s, row);
    for (let p = 0; p < s.points; p++) {
      const at = row * s.points + p;
      if (!corners.find(s, p, locations[2 * at], locations[2 * at + 1])) continue;
      let [weight, x, y] = [0, 0, 0];
      for (let i = 0; i < 4; i++) {
        if (corners.offset[i] < 0) continue;
        const factor = corners.share[i] * weights[at];
        const pixel = start + corners.offset[i];
        const dot = addAndDot(value, ofValue, pixel, factor, dy, row * s.channels, s.channels);
        weight += corners.share[i] * dot;
        x += corners.byX[i] * dot;
        y += corners.byY[i] * dot;
      }
      ofWeights[at] = weight;
      ofLocations[2 * at] = x * weights[at];
      ofLocations[2 * at + 1] = y * weights[at];
    }
  }
  return results;
};

/** Deformable attention as loops over the backend's own memory: what it gathers would fill hundreds of megabytes as tensors. */
export const deformableAttentionKernels = [
  { kernelName: 'RassDeformableAttention', kernelFunc: forward },
  { kernelName: 'RassDeformableAttentionGrad', kernelFunc: backward },
] as const;
