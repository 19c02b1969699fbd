import { cross, length, scale, squareTo, subtract, unit, type Vector } from '../maths/vector.ts';
import type { Material } from './hit.ts';

/** What a thing is, what it looks like, and whether it casts a shadow (default: it does). */
export interface Look {
  readonly label: number;
  readonly material: Material;
  readonly castsShadow?: boolean;
}

export interface Surface {
  readonly kind: 'plane' | 'cone' | 'ellipsoid';
  readonly look: Look;
  /** Of a plane its corners, of a cone its two ends, of an ellipsoid its centre; x, y, z one after another. */
  readonly points: Float64Array;
  /** Origin, direction of u, direction of v, normal. Of an ellipsoid: centre and its three half axes. */
  readonly frame: Float64Array;
  /** Of a plane its extent along u and v, of a cone the radii of its ends. */
  readonly sizeU: number;
  readonly sizeV: number;
  readonly tint: number;
}

/** Numbers of one cut-out: centre, half sides u and v, normal that it is lit by, tint, openness, look, mask. */
export const CUTOUT_STRIDE = 16;

/** A list of small flat cut-outs: leaves, blades, needles. */
export interface Cutouts {
  count: number;
  numbers: Float32Array;
  readonly looks: Look[];
}

export interface CutoutPlace {
  readonly centre: Vector;
  readonly u: Vector;
  readonly v: Vector;
  /** Normal for light: of the crown, not of the leaf, so that a crown is lit as one body. */
  readonly normal: Vector;
  readonly tint: number;
  /** 0 within the crown, 1 at its outside. */
  readonly open: number;
  /** Number of the look, of `addCutoutLook`. */
  readonly look: number;
  readonly mask: number;
}

/** Everything that a picture shows, apart from what is behind all of it. */
export interface Scene {
  readonly surfaces: Surface[];
  readonly cutouts: Cutouts;
}

export function createScene(): Scene {
  return { surfaces: [], cutouts: { count: 0, numbers: new Float32Array(CUTOUT_STRIDE * 1024), looks: [] } };
}

/** A convex, flat polygon. u runs along its first side, v squarely to it. */
export function addPolygon(scene: Scene, corners: readonly Vector[], look: Look, tint = 0.5): void {
  const u = unit(subtract(corners[1], corners[0]));
  const across = subtract(corners[corners.length - 1], corners[0]);
  const normal = unit(cross(u, across));
  const v = cross(normal, u);
  let [sizeU, sizeV] = [0, 0];
  for (const corner of corners) {
    const [x, y, z] = subtract(corner, corners[0]);
    sizeU = Math.max(sizeU, x * u[0] + y * u[1] + z * u[2]);
    sizeV = Math.max(sizeV, x * v[0] + y * v[1] + z * v[2]);
  }
  const frame = Float64Array.of(...corners[0], ...u, ...v, ...normal);
  scene.surfaces.push({ kind: 'plane', look, points: Float64Array.from(corners.flat()), frame, sizeU, sizeV, tint });
}

/** A round bar from one end to another: a trunk, a limb, a pole. */
export function addCone(scene: Scene, from: Vector, to: Vector, radii: readonly [number, number], look: Look): void {
  const axis = subtract(to, from);
  if (length(axis) < 1e-6) return;
  const v = unit(axis);
  const [u, normal] = squareTo(v);
  const points = Float64Array.of(...from, ...to);
  const frame = Float64Array.of(...from, ...u, ...v, ...normal);
  const tint = (scene.surfaces.length % 8) / 8;
  scene.surfaces.push({ kind: 'cone', look, points, frame, sizeU: radii[0], sizeV: radii[1], tint });
}

/** A ball, stretched along three half axes that are square to each other. */
export function addEllipsoid(scene: Scene, centre: Vector, axes: readonly [Vector, Vector, Vector], look: Look): void {
  const frame = Float64Array.of(...centre, ...axes[0], ...axes[1], ...axes[2]);
  const points = Float64Array.of(...centre);
  const surface = { look, points, frame, sizeU: length(axes[0]), sizeV: length(axes[1]), tint: 0.5 };
  scene.surfaces.push({ kind: 'ellipsoid', ...surface });
}

export function addBall(scene: Scene, centre: Vector, radius: number, look: Look): void {
  const axes = [scale([1, 0, 0], radius), scale([0, 1, 0], radius), scale([0, 0, 1], radius)] as const;
  addEllipsoid(scene, centre, axes, look);
}

/** @returns the number by which cut-outs name the look */
export function addCutoutLook(scene: Scene, look: Look): number {
  return scene.cutouts.looks.push(look) - 1;
}

export function addCutout({ cutouts }: Scene, place: CutoutPlace): void {
  const start = cutouts.count * CUTOUT_STRIDE;
  if (start + CUTOUT_STRIDE > cutouts.numbers.length) {
    const more = new Float32Array(2 * cutouts.numbers.length);
    more.set(cutouts.numbers);
    cutouts.numbers = more;
  }
  const { numbers } = cutouts;
  for (let i = 0; i < 3; i++) {
    numbers[start + i] = place.centre[i];
    numbers[start + 3 + i] = place.u[i];
    numbers[start + 6 + i] = place.v[i];
    numbers[start + 9 + i] = place.normal[i];
  }
  numbers[start + 12] = place.tint;
  numbers[start + 13] = place.open;
  numbers[start + 14] = place.look;
  numbers[start + 15] = place.mask;
  cutouts.count++;
}
