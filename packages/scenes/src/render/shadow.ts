import type { Vector } from '../maths/vector.ts';
import { rasterize } from './rasterize.ts';
import type { Scene } from './scene.ts';
import { shadowTarget, type Target } from './target.ts';
import { lightView, type View } from './view.ts';

/** What a light sees first, so that the rest is in shadow. */
export interface ShadowMap {
  readonly view: View;
  readonly target: Target;
  /** Metres to a texel. */
  readonly texel: number;
}

/** A map around a point, `reach` metres to each side, of a light that shines along `direction`. */
export function shadowMap(scene: Scene, direction: Vector, centre: Vector, reach: number, size: number): ShadowMap {
  const view = lightView(direction, centre, reach, size);
  const target = shadowTarget(size);
  rasterize(scene, view, target, { shadow: true });
  return { view, target, texel: (2 * reach) / size };
}

/** The share of light that reaches a place, from 0 to 1, over a soft edge of about `softness` metres; -1 beyond the map. */
export function litShare(
  { view, target, texel }: ShadowMap,
  x: number,
  y: number,
  z: number,
  softness: number,
): number {
  const { position, right, up, forward, zoom, centreX, centreY } = view;
  const dx = x - position[0];
  const dy = y - position[1];
  const dz = z - position[2];
  const across = centreX + (dx * right[0] + dy * right[1] + dz * right[2]) * zoom - 0.5;
  const down = centreY - (dx * up[0] + dy * up[1] + dz * up[2]) * zoom - 0.5;
  const stride = Math.max(0.7, softness / texel / 1.5);
  const margin = 2 + 1.5 * stride;
  const size = target.columns;
  if (!(across > margin && down > margin && across < size - margin && down < size - margin)) return -1;
  const limit = 1.2 * texel - (dx * forward[0] + dy * forward[1] + dz * forward[2]);
  let sum = 0;
  for (let j = -1; j <= 1; j++) {
    for (let i = -1; i <= 1; i++) sum += litAround(target, across + i * stride, down + j * stride, limit);
  }
  return sum / 9;
}

/** Of the four texels around a place, weighted by how near they are. */
function litAround({ nearness, columns }: Target, x: number, y: number, limit: number): number {
  const column = Math.floor(x);
  const row = Math.floor(y);
  const right = x - column;
  const below = y - row;
  const at = row * columns + column;
  const upper = (nearness[at] > limit ? 0 : 1 - right) + (nearness[at + 1] > limit ? 0 : right);
  const under = at + columns;
  const lower = (nearness[under] > limit ? 0 : 1 - right) + (nearness[under + 1] > limit ? 0 : right);
  return upper * (1 - below) + lower * below;
}
