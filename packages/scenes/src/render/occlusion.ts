import { cosine, sine, TURN } from '../maths/arithmetic.ts';
import type { Scene } from './scene.ts';
import type { Target } from './target.ts';
import type { View } from './view.ts';

const TAPS = 8;
const PATTERN = 4;

/** Which of a pixel's four rows of samples stands for it. */
export const MIDDLE_ROW = 1;

/** How open each pixel's place is to light from all around, from 0 to 1, by what stands around it within `reach` metres.
 * @source McGuire et al. 2011, "The Alchemy screen-space ambient obscurance algorithm" */
export function openness(scene: Scene, view: View, target: Target, reach: number): Float32Array {
  const raw = rawOpenness(scene, view, target, reach);
  return smoothed(raw, depthsOf(target), target.columns, target.rows / 4);
}

function depthsOf({ columns, rows, nearness }: Target): Float32Array {
  const depths = new Float32Array((columns * rows) / 4);
  for (let i = 0; i < depths.length; i++) {
    const row = Math.floor(i / columns);
    depths[i] = 1 / Math.max(1e-6, nearness[(4 * row + MIDDLE_ROW) * columns + (i % columns)]);
  }
  return depths;
}

/** Directions and lengths of the taps: a spiral, turned in sixteen ways that repeat over the picture. */
function spirals(): Float64Array {
  const taps = new Float64Array(PATTERN * PATTERN * TAPS * 2);
  for (let cell = 0; cell < PATTERN * PATTERN; cell++) {
    const start = ((cell * 7) % 16) / 16;
    for (let tap = 0; tap < TAPS; tap++) {
      const angle = TURN * (start + tap * 0.381966);
      const away = (tap + 0.3 + 0.6 * start) / TAPS;
      taps[2 * (cell * TAPS + tap)] = away * cosine(angle);
      taps[2 * (cell * TAPS + tap) + 1] = away * sine(angle);
    }
  }
  return taps;
}

function rawOpenness(scene: Scene, view: View, target: Target, reach: number): Float32Array {
  const { columns, owner } = target;
  const height = target.rows / 4;
  const open = new Float32Array(columns * height).fill(1);
  const taps = spirals();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      const of = owner[(4 * y + MIDDLE_ROW) * columns + x];
      if (of < 0 || of >= scene.surfaces.length) continue;
      const { kind, frame } = scene.surfaces[of];
      if (kind !== 'plane') continue;
      open[y * columns + x] = openAt(view, target, frame, x, y, reach, taps);
    }
  }
  return open;
}

/** Everything in the view's own coordinates: across, up, depth. */
function openAt(
  view: View,
  target: Target,
  frame: Float64Array,
  x: number,
  y: number,
  reach: number,
  taps: Float64Array,
) {
  const { right, up, forward, zoom, centreX, centreY } = view;
  const { columns, rows, nearness } = target;
  const depth = 1 / nearness[(4 * y + MIDDLE_ROW) * columns + x];
  const slopeX = (x + 0.5 - centreX) / zoom;
  const slopeY = -(y + 0.5 - centreY) / zoom;
  let nx = frame[9] * right[0] + frame[10] * right[1] + frame[11] * right[2];
  let ny = frame[9] * up[0] + frame[10] * up[1] + frame[11] * up[2];
  let nz = frame[9] * forward[0] + frame[10] * forward[1] + frame[11] * forward[2];
  if (nx * slopeX + ny * slopeY + nz > 0) [nx, ny, nz] = [-nx, -ny, -nz];
  const pixels = Math.min((reach * zoom) / depth, 0.12 * Math.max(columns, rows / 4));
  if (pixels < 1) return 1;
  const start = 2 * TAPS * ((y & 3) * PATTERN + (x & 3));
  let hidden = 0;
  for (let tap = 0; tap < TAPS; tap++) {
    const atX = Math.round(x + taps[start + 2 * tap] * pixels);
    const atY = Math.round(y + taps[start + 2 * tap + 1] * pixels);
    if (atX < 0 || atY < 0 || atX >= columns || 4 * atY >= rows) continue;
    const there = 1 / Math.max(1e-6, nearness[(4 * atY + MIDDLE_ROW) * columns + atX]);
    const dx = ((atX + 0.5 - centreX) / zoom) * there - slopeX * depth;
    const dy = (-(atY + 0.5 - centreY) / zoom) * there - slopeY * depth;
    const dz = there - depth;
    const above = dx * nx + dy * ny + dz * nz - 0.004 * depth;
    const square = dx * dx + dy * dy + dz * dz;
    if (above > 0 && square < 4 * reach * reach) hidden += (above * reach) / (square + 0.02 * reach * reach + 1e-4);
  }
  return 1 / (1 + (1.1 * hidden) / TAPS);
}

/** The mean of the sixteen turns of the spiral, of places that are about as far. */
function smoothed(raw: Float32Array, depths: Float32Array, columns: number, rows: number): Float32Array {
  const smooth = new Float32Array(raw.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = y * columns + x;
      const limit = 0.06 * depths[i];
      let [sum, count] = [0, 0];
      for (let j = Math.max(0, y - 2); j < Math.min(rows, y + 2); j++) {
        for (let at = j * columns + Math.max(0, x - 2); at < j * columns + Math.min(columns, x + 2); at++) {
          if (Math.abs(depths[at] - depths[i]) > limit) continue;
          sum += raw[at];
          count++;
        }
      }
      smooth[i] = count > 0 ? sum / count : raw[i];
    }
  }
  return smooth;
}
