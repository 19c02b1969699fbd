import { cutoutMasks } from './masks.ts';
import { CUTOUT_STRIDE, type Scene, type Surface } from './scene.ts';
import {
  createOutline,
  createSpans,
  type Ellipse,
  fillEllipse,
  fillPatch,
  fillPolygon,
  type Outline,
  type Patch,
  type Spans,
  type Target,
} from './target.ts';
import type { View } from './view.ts';

/** Nearer than this, in metres, nothing is seen. */
const NEAR = 0.1;

const MAX_CORNERS = 64;

interface Pencil {
  readonly target: Target;
  readonly view: View;
  readonly spans: Spans;
  readonly outline: Outline;
  /** Corners in the view's own coordinates: across, up, depth. */
  readonly corners: Float64Array;
}

/** Draws all surfaces, and then all cut-outs: owner i is the i-th surface, then come the cut-outs.
 * A shadow has a third of the cut-outs, larger: enough for it. */
export function rasterize(scene: Scene, view: View, target: Target, options: { shadow: boolean }): void {
  const corners = new Float64Array(3 * MAX_CORNERS);
  const pencil = { target, view, spans: createSpans(target), outline: createOutline(MAX_CORNERS), corners };
  scene.surfaces.forEach((surface, owner) => {
    if (options.shadow && surface.look.castsShadow === false) return;
    if (surface.kind === 'plane') drawPlane(pencil, surface, owner);
    else if (surface.kind === 'cone') drawCone(pencil, surface, owner);
    else drawEllipsoid(pencil, surface, owner);
  });
  drawCutouts(pencil, scene, options.shadow ? 3 : 1);
}

function toView(
  { position, right, up, forward }: View,
  points: Float64Array,
  at: number,
  out: Float64Array,
  to: number,
) {
  const x = points[at] - position[0];
  const y = points[at + 1] - position[1];
  const z = points[at + 2] - position[2];
  out[to] = x * right[0] + y * right[1] + z * right[2];
  out[to + 1] = x * up[0] + y * up[1] + z * up[2];
  out[to + 2] = x * forward[0] + y * forward[1] + z * forward[2];
}

function drawPlane({ target, view, spans, outline, corners }: Pencil, { points }: Surface, owner: number): void {
  const count = points.length / 3;
  for (let i = 0; i < count; i++) toView(view, points, 3 * i, corners, 3 * i);
  outline.count = 0;
  for (let i = 0; i < count; i++) {
    const here = 3 * i;
    const next = 3 * ((i + 1) % count);
    const [depth, nextDepth] = [corners[here + 2], corners[next + 2]];
    if (!view.perspective || depth > NEAR) project(view, outline, corners[here], corners[here + 1], depth);
    if (!view.perspective || depth > NEAR === nextDepth > NEAR) continue;
    // The side crosses the nearest plane: its part before it ends there. From the nearer end always, so that neighbours agree.
    const [a, b] = depth < nextDepth ? [here, next] : [next, here];
    const share = (NEAR - corners[a + 2]) / (corners[b + 2] - corners[a + 2]);
    const x = corners[a] + share * (corners[b] - corners[a]);
    project(view, outline, x, corners[a + 1] + share * (corners[b + 1] - corners[a + 1]), NEAR);
  }
  if (outline.count >= 3) fillPolygon(target, spans, outline, owner);
}

function project(view: View, outline: Outline, across: number, up: number, depth: number): void {
  const factor = view.perspective ? view.zoom / depth : view.zoom;
  const i = outline.count++;
  outline.x[i] = view.centreX + across * factor;
  outline.y[i] = view.centreY - up * factor;
  outline.nearness[i] = view.perspective ? 1 / depth : -depth;
}

/** A cone is seen as the trapezium between its two ends' rims. */
function drawCone(pencil: Pencil, { points, sizeU, sizeV }: Surface, owner: number): void {
  const { target, view, spans, outline, corners } = pencil;
  toView(view, points, 0, corners, 0);
  toView(view, points, 3, corners, 3);
  if (view.perspective && (corners[2] < NEAR || corners[5] < NEAR)) return;
  outline.count = 0;
  project(view, outline, corners[0], corners[1], corners[2]);
  project(view, outline, corners[3], corners[4], corners[5]);
  const { x, y, nearness } = outline;
  const [dx, dy] = [x[1] - x[0], y[1] - y[0]];
  const long = Math.sqrt(dx * dx + dy * dy);
  if (long < 1e-6) return;
  const first = sizeU * (view.perspective ? view.zoom * nearness[0] : view.zoom);
  const second = sizeV * (view.perspective ? view.zoom * nearness[1] : view.zoom);
  const [ax, ay] = [-dy / long, dx / long];
  // A little longer than it is, so that bars that bend from one into the next leave no gap.
  const [ex, ey] = [(dx / long) * 0.25, (dy / long) * 0.25];
  const [x0, y0, n0] = [x[0] - ex * first, y[0] - ey * first, nearness[0]];
  const [x1, y1, n1] = [x[1] + ex * second, y[1] + ey * second, nearness[1]];
  setCorner(outline, 0, x0 - ax * first, y0 - ay * first, n0);
  setCorner(outline, 1, x0 + ax * first, y0 + ay * first, n0);
  setCorner(outline, 2, x1 + ax * second, y1 + ay * second, n1);
  setCorner(outline, 3, x1 - ax * second, y1 - ay * second, n1);
  outline.count = 4;
  fillPolygon(target, spans, outline, owner);
}

function setCorner(outline: Outline, i: number, x: number, y: number, nearness: number): void {
  outline.x[i] = x;
  outline.y[i] = y;
  outline.nearness[i] = nearness;
}

const ellipse: Ellipse = { x: 0.5, y: 0.5, a: 0.5, b: 0.5, c: 0.5, nearness: 0.5, bulge: 0.5 };

/** A small ellipsoid is seen as the ellipse that its three half axes span on the picture. */
function drawEllipsoid({ target, view, corners }: Pencil, { points, frame }: Surface, owner: number): void {
  toView(view, points, 0, corners, 0);
  const depth = corners[2];
  if (view.perspective && depth < 2 * NEAR) return;
  const factor = view.perspective ? view.zoom / depth : view.zoom;
  const [slopeX, slopeY] = view.perspective ? [corners[0] / depth, corners[1] / depth] : [0, 0];
  let [xx, xy, yy, deep] = [1e-9, 0, 1e-9, 0];
  for (let axis = 3; axis < 12; axis += 3) {
    const along = dotAt(frame, axis, view.forward);
    const x = (dotAt(frame, axis, view.right) - along * slopeX) * factor;
    const y = -(dotAt(frame, axis, view.up) - along * slopeY) * factor;
    xx += x * x;
    xy += x * y;
    yy += y * y;
    deep += along * along;
  }
  const area = xx * yy - xy * xy;
  ellipse.x = view.centreX + corners[0] * factor;
  ellipse.y = view.centreY - corners[1] * factor;
  ellipse.a = yy / area;
  ellipse.b = -xy / area;
  ellipse.c = xx / area;
  ellipse.nearness = view.perspective ? 1 / depth : -depth;
  ellipse.bulge = Math.sqrt(deep) * (view.perspective ? 1 / (depth * depth) : 1);
  fillEllipse(target, ellipse, owner);
}

function dotAt(numbers: Float64Array | Float32Array, at: number, v: readonly [number, number, number]): number {
  return numbers[at] * v[0] + numbers[at + 1] * v[1] + numbers[at + 2] * v[2];
}

const patch: Patch = { x: 0.5, y: 0.5, ux: 0.5, uy: 0.5, vx: 0.5, vy: 0.5, nearness: 0.5 };

function drawCutouts({ target, view }: Pencil, { cutouts, surfaces }: Scene, every: number): void {
  const { right, up, forward, position } = view;
  const masks = cutoutMasks();
  const wide = target.columns;
  const tall = target.rows / target.rowsPerUnit;
  const swell = Math.sqrt(every);
  const { numbers } = cutouts;
  for (let i = 0; i < cutouts.count; i += every) {
    const at = i * CUTOUT_STRIDE;
    const dx = numbers[at] - position[0];
    const dy = numbers[at + 1] - position[1];
    const dz = numbers[at + 2] - position[2];
    const depth = dx * forward[0] + dy * forward[1] + dz * forward[2];
    if (view.perspective && depth < 2 * NEAR) continue;
    const factor = view.perspective ? view.zoom / depth : view.zoom;
    patch.x = view.centreX + (dx * right[0] + dy * right[1] + dz * right[2]) * factor;
    patch.y = view.centreY - (dx * up[0] + dy * up[1] + dz * up[2]) * factor;
    patch.ux = dotAt(numbers, at + 3, right) * factor * swell;
    patch.uy = -dotAt(numbers, at + 3, up) * factor * swell;
    patch.vx = dotAt(numbers, at + 6, right) * factor * swell;
    patch.vy = -dotAt(numbers, at + 6, up) * factor * swell;
    const reach = Math.abs(patch.ux) + Math.abs(patch.vx) + Math.abs(patch.uy) + Math.abs(patch.vy);
    if (patch.x < -reach || patch.x > wide + reach || patch.y < -reach || patch.y > tall + reach) continue;
    patch.nearness = view.perspective ? 1 / depth : -depth;
    fillPatch(target, patch, masks[numbers[at + 15]], surfaces.length + i);
  }
}
