import type { Hit } from './hit.ts';
import { createHit } from './hit.ts';
import type { Ray, Surroundings } from './light.ts';
import { MIDDLE_ROW } from './occlusion.ts';
import type { Target } from './target.ts';
import type { View } from './view.ts';

/** Pixel, place, direction of the mirrored ray, share of its light. */
const STRIDE = 8;
const STEPS = 28;

/** Pixels that mirror the picture itself: they wait until the rest of it is drawn. */
export interface MirrorList {
  count: number;
  numbers: Float64Array;
}

export function createMirrors(): MirrorList {
  return { count: 0, numbers: new Float64Array(STRIDE * 256) };
}

export function addMirror(list: MirrorList, pixel: number, hit: Hit, ray: Ray, share: number): void {
  const at = STRIDE * list.count;
  if (at + STRIDE > list.numbers.length) {
    const more = new Float64Array(2 * list.numbers.length);
    more.set(list.numbers);
    list.numbers = more;
  }
  const twice = 2 * (ray.x * hit.nx + ray.y * hit.ny + ray.z * hit.nz);
  const up = ray.y - twice * hit.ny;
  list.numbers[at] = pixel;
  list.numbers[at + 1] = hit.x;
  list.numbers[at + 2] = hit.y;
  list.numbers[at + 3] = hit.z;
  list.numbers[at + 4] = ray.x - twice * hit.nx;
  // A wave never mirrors what is under the water.
  list.numbers[at + 5] = Math.max(0.02, up);
  list.numbers[at + 6] = ray.z - twice * hit.nz;
  list.numbers[at + 7] = share;
  list.count++;
}

/** Adds to each waiting pixel what it mirrors: what its ray meets on the picture, or else the surroundings. */
export function resolveMirrors(
  list: MirrorList,
  from: { view: View; surroundings: Surroundings },
  target: Target,
  light: Float32Array,
) {
  const seen = new Float64Array(3);
  const plain = Float32Array.from(list.count > 0 ? light : []);
  const hit = createHit();
  for (let i = 0; i < list.count; i++) {
    const at = STRIDE * i;
    const { numbers } = list;
    [hit.x, hit.y, hit.z] = [numbers[at + 1], numbers[at + 2], numbers[at + 3]];
    from.surroundings.reflected(numbers[at + 4], numbers[at + 5], numbers[at + 6], hit, seen);
    meet(numbers, at, from.view, target, plain, seen);
    const [pixel, share] = [numbers[at], numbers[at + 7]];
    for (let c = 0; c < 3; c++) {
      // The surface's own light was drawn whole; what it mirrors takes the place of its share.
      light[3 * pixel + c] += (seen[c] - plain[3 * pixel + c]) * share;
    }
  }
}

/** Follows a ray over the picture in growing steps until it is behind something. */
function meet(
  numbers: Float64Array,
  at: number,
  view: View,
  target: Target,
  light: Float32Array,
  seen: Float64Array,
): void {
  const { position, right, up, forward, zoom, centreX, centreY } = view;
  const x = numbers[at + 1] - position[0];
  const y = numbers[at + 2] - position[1];
  const z = numbers[at + 3] - position[2];
  let step = 0.04 * Math.sqrt(x * x + y * y + z * z);
  let along = step;
  for (let i = 0; i < STEPS; i++) {
    const px = x + numbers[at + 4] * along;
    const py = y + numbers[at + 5] * along;
    const pz = z + numbers[at + 6] * along;
    const depth = px * forward[0] + py * forward[1] + pz * forward[2];
    if (depth < 0.1) return;
    const column = Math.floor(centreX + ((px * right[0] + py * right[1] + pz * right[2]) * zoom) / depth);
    const row = Math.floor(centreY - ((px * up[0] + py * up[1] + pz * up[2]) * zoom) / depth);
    if (column < 0 || row < 0 || column >= target.columns || 4 * row >= target.rows) return;
    const sample = (4 * row + MIDDLE_ROW) * target.columns + column;
    const there = target.owner[sample] < 0 ? 1e6 : 1 / target.nearness[sample];
    if (depth > there && depth - there < 3 * step + 0.3) {
      for (let c = 0; c < 3; c++) seen[c] = light[3 * (row * target.columns + column) + c];
      return;
    }
    step *= 1.18;
    along += step;
  }
}
