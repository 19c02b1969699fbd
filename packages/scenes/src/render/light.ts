import type { Vector } from '../maths/vector.ts';
import type { Hit } from './hit.ts';
import { litShare, type ShadowMap } from './shadow.ts';

/** A light: the sun (`towards`), or one at a place (`at`). */
export interface Light {
  /** Direction to a light that is far away. */
  readonly towards?: Vector;
  /** Place of one that is near; its light falls off with the distance squared. */
  readonly at?: Vector;
  /** Of a light at a place: which way it shines, as a window does; all around if left out. */
  readonly facing?: Vector;
  readonly colour: Vector;
  /** The first map that has the place counts; without one there is no shadow. */
  readonly shadows: readonly ShadowMap[];
  /** Width of a shadow's edge, in metres. */
  readonly softness: number;
  /** Share of the light at a place, where not all of it comes: the sun through windows. */
  readonly gate?: (x: number, y: number, z: number) => number;
}

/** Light at a place: all that a surface is lit by. */
export interface Surroundings {
  readonly lights: readonly Light[];
  /** Light from all around: red, green, blue; then how it changes with the normal's x, y and z. */
  readonly ambient: Float64Array;
  /** What a mirror would show in a direction, in few words. Writes red, green and blue. */
  readonly reflected: (x: number, y: number, z: number, from: Hit, out: Float64Array) => void;
  /** Share of light that is lost per metre of air. */
  readonly fog: number;
  readonly fogColour: (x: number, y: number, z: number, out: Float64Array) => void;
}

/** Which way light travels to the eye, and what the eye gets. */
export interface Ray {
  /** From the eye, of length 1. */
  x: number;
  y: number;
  z: number;
  distance: number;
}

const mirrored = new Float64Array(3);
const toLight = { x: 0.5, y: 0.5, z: 0.5, strength: 0.5 };

/** The light that a surface sends to the eye, without fog. Writes red, green and blue. */
export function lightHit(hit: Hit, ray: Ray, surroundings: Surroundings, out: Float64Array): void {
  const { ambient } = surroundings;
  const { nx, ny, nz, open } = hit;
  let red = open * (ambient[0] + ambient[3] * nx + ambient[6] * ny + ambient[9] * nz);
  let green = open * (ambient[1] + ambient[4] * nx + ambient[7] * ny + ambient[10] * nz);
  let blue = open * (ambient[2] + ambient[5] * nx + ambient[8] * ny + ambient[11] * nz);
  let shine = 0;
  let [shineRed, shineGreen, shineBlue] = [0, 0, 0];
  for (const light of surroundings.lights) {
    reach(light, hit);
    const slope = nx * toLight.x + ny * toLight.y + nz * toLight.z;
    const received = slope > 0 ? slope : -slope * hit.through;
    if (received <= 0 || toLight.strength <= 0) continue;
    const strength = toLight.strength * shadowed(light, hit, slope > 0 ? 1 : -1);
    if (strength <= 0) continue;
    red += light.colour[0] * received * strength;
    green += light.colour[1] * received * strength;
    blue += light.colour[2] * received * strength;
    if (hit.gloss <= 0 || slope <= 0) continue;
    shine = highlight(hit, ray) * slope * strength;
    shineRed += shine * light.colour[0];
    shineGreen += shine * light.colour[1];
    shineBlue += shine * light.colour[2];
  }
  out[0] = hit.red * red + hit.glowRed + shineRed;
  out[1] = hit.green * green + hit.glowGreen + shineGreen;
  out[2] = hit.blue * blue + hit.glowBlue + shineBlue;
  if (hit.gloss > 0 && !hit.mirror) addReflection(hit, ray, surroundings, out);
}

/** The direction to a light, and how much of it would arrive without anything in between. */
function reach(light: Light, hit: Hit): void {
  if (light.towards) {
    toLight.x = light.towards[0];
    toLight.y = light.towards[1];
    toLight.z = light.towards[2];
    toLight.strength = light.gate ? light.gate(hit.x, hit.y, hit.z) : 1;
    return;
  }
  const at = light.at ?? [0, 0, 0];
  const x = at[0] - hit.x;
  const y = at[1] - hit.y;
  const z = at[2] - hit.z;
  const square = x * x + y * y + z * z + 0.05;
  const distance = Math.sqrt(square);
  toLight.x = x / distance;
  toLight.y = y / distance;
  toLight.z = z / distance;
  const { facing } = light;
  const turned = facing ? -(toLight.x * facing[0] + toLight.y * facing[1] + toLight.z * facing[2]) : 1;
  toLight.strength = turned > 0 ? (turned / (square + 0.3)) * (light.gate ? light.gate(hit.x, hit.y, hit.z) : 1) : 0;
}

function shadowed({ shadows, softness }: Light, { x, y, z, nx, ny, nz }: Hit, side: number): number {
  for (const map of shadows) {
    // From a little above the surface, so that it does not shade itself.
    const off = side * map.texel * 1.6;
    const share = litShare(map, x + nx * off, y + ny * off, z + nz * off, softness);
    if (share >= 0) return share;
  }
  return 1;
}

/** How bright a light is in the surface's shine. @source Walter et al. 2007 (GGX), without the masking of rough slopes */
function highlight(hit: Hit, ray: Ray): number {
  const x = toLight.x - ray.x;
  const y = toLight.y - ray.y;
  const z = toLight.z - ray.z;
  const size = Math.sqrt(x * x + y * y + z * z);
  const upright = Math.max(0, (x * hit.nx + y * hit.ny + z * hit.nz) / size);
  const rough = Math.max(0.03, hit.dullness * hit.dullness);
  const square = rough * rough;
  const spread = upright * upright * (square - 1) + 1;
  return Math.min(6, (hit.gloss * square) / (spread * spread) / 4);
}

/** The share of light that is mirrored, at a slant as well. @source Schlick 1994 */
export function mirroredShare(hit: Hit, ray: Ray): number {
  const upright = Math.min(1, Math.abs(ray.x * hit.nx + ray.y * hit.ny + ray.z * hit.nz));
  const slant = 1 - upright;
  const square = slant * slant;
  const atSlant = square * square * slant * (1 - 0.9 * hit.dullness);
  return hit.gloss + (1 - hit.gloss) * atSlant;
}

function addReflection(hit: Hit, ray: Ray, { reflected }: Surroundings, out: Float64Array): void {
  const twice = 2 * (ray.x * hit.nx + ray.y * hit.ny + ray.z * hit.nz);
  reflected(ray.x - twice * hit.nx, ray.y - twice * hit.ny, ray.z - twice * hit.nz, hit, mirrored);
  const share = mirroredShare(hit, ray) * hit.open;
  for (let i = 0; i < 3; i++) out[i] = out[i] * (1 - share) + mirrored[i] * share;
}
