import { clearAnswer, createHit, type Hit } from './hit.ts';
import { lightHit, mirroredShare, type Ray, type Surroundings } from './light.ts';
import { addMirror, createMirrors, type MirrorList, resolveMirrors } from './mirror.ts';
import { MIDDLE_ROW, openness } from './occlusion.ts';
import { placeHit } from './place-hit.ts';
import { rasterize } from './rasterize.ts';
import type { Look, Scene } from './scene.ts';
import { pictureTarget, type Target } from './target.ts';
import type { View } from './view.ts';

/** A surface of many parts, each a look of its own: the ground. */
export interface Ground {
  /** Number of its surface in the scene. */
  readonly surface: number;
  readonly parts: readonly Look[];
  readonly partAt: (x: number, z: number) => number;
}

/** What is behind everything: sky and mountains. Directions are of length 1. */
export interface Backdrop {
  readonly labels: readonly number[];
  readonly partAt: (x: number, y: number, z: number) => number;
  /** @param angle a pixel's size, in radians; writes red, green and blue */
  readonly colour: (part: number, ray: Ray, angle: number, out: Float64Array) => void;
}

/** All that a picture needs. */
export interface Composition {
  readonly scene: Scene;
  readonly view: View;
  readonly ground?: Ground;
  readonly backdrop: Backdrop;
  readonly surroundings: Surroundings;
  /** How far, in metres, things darken what they stand on. */
  readonly contact: number;
}

/** Light, linear, three numbers a pixel; and a label a pixel. */
export interface Exposure {
  readonly light: Float32Array;
  readonly labels: Uint8Array;
}

/** Owner and part of a sample in one number; parts are fewer than 16. */
const PARTS = 16;

interface Easel {
  readonly composition: Composition;
  readonly target: Target;
  readonly open: Float32Array;
  readonly hit: Hit;
  readonly ray: Ray;
  readonly colour: Float64Array;
  readonly mirrors: MirrorList;
}

/** Draws the scene: which surface each of a pixel's four samples sees, and the light of each surface that a pixel sees. */
export function exposePicture(composition: Composition, width: number, height: number): Exposure {
  const { scene, view, contact } = composition;
  const target = pictureTarget(width, height);
  rasterize(scene, view, target, { shadow: false });
  const open = openness(scene, view, target, contact);
  const ray = { x: 0.5, y: 0.5, z: 0.5, distance: 0.5 };
  const colour = new Float64Array(3);
  const easel = { composition, target, open, hit: createHit(), ray, colour, mirrors: createMirrors() };
  const exposure = { light: new Float32Array(3 * width * height), labels: new Uint8Array(width * height) };
  const keys = new Int32Array(4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) exposePixel(easel, x, y, keys, exposure);
  }
  resolveMirrors(easel.mirrors, composition, target, exposure.light);
  return exposure;
}

function exposePixel(easel: Easel, x: number, y: number, keys: Int32Array, { light, labels }: Exposure): void {
  const { composition, target, colour } = easel;
  for (let i = 0; i < 4; i++) keys[i] = keyOf(composition, target, x, 4 * y + i);
  const pixel = y * target.columns + x;
  const one = keys[0] === keys[1] && keys[0] === keys[2] && keys[0] === keys[3];
  let [best, label] = [0, 255];
  for (let i = 0; i < 4; i++) {
    if (keys[i] === keys[i - 1] || keys[i] === keys[i - 2] || keys[i] === keys[i - 3]) continue;
    let samples = 4;
    if (!one) {
      samples = 0;
      for (let j = i; j < 4; j++) if (keys[j] === keys[i]) samples++;
    }
    shade(easel, x, one ? 4 * y + MIDDLE_ROW : 4 * y + i, keys[i], samples / 4);
    for (let c = 0; c < 3; c++) light[3 * pixel + c] += (colour[c] * samples) / 4;
    const of = labelOf(composition, keys[i]);
    const count = one ? 4 : samplesOf(composition, keys, of);
    if (count > best) [best, label] = [count, of];
  }
  labels[pixel] = label;
}

function samplesOf(composition: Composition, keys: Int32Array, label: number): number {
  let count = 0;
  for (let i = 0; i < 4; i++) if (labelOf(composition, keys[i]) === label) count++;
  return count;
}

function keyOf({ ground, backdrop, view }: Composition, target: Target, x: number, row: number): number {
  const at = row * target.columns + x;
  const owner = target.owner[at];
  if (owner >= 0 && owner !== ground?.surface) return owner * PARTS;
  const { right, up, forward, position } = view;
  const across = (x + target.shifts[row & 3] - view.centreX) / view.zoom;
  const upward = -((row + 0.5) / 4 - view.centreY) / view.zoom;
  const dx = forward[0] + across * right[0] + upward * up[0];
  const dz = forward[2] + across * right[2] + upward * up[2];
  if (owner >= 0 && ground) {
    const depth = 1 / target.nearness[at];
    return owner * PARTS + ground.partAt(position[0] + dx * depth, position[2] + dz * depth);
  }
  const dy = forward[1] + across * right[1] + upward * up[1];
  const size = Math.sqrt(dx * dx + dy * dy + dz * dz);
  return backdrop.partAt(dx / size, dy / size, dz / size) - PARTS;
}

function lookOf({ scene, ground }: Composition, key: number): Look {
  const owner = Math.floor(key / PARTS);
  if (owner === ground?.surface) return ground.parts[key % PARTS];
  if (owner < scene.surfaces.length) return scene.surfaces[owner].look;
  const { numbers, looks } = scene.cutouts;
  return looks[numbers[(owner - scene.surfaces.length) * 16 + 14]];
}

function labelOf(composition: Composition, key: number): number {
  return key < 0 ? composition.backdrop.labels[key + PARTS] : lookOf(composition, key).label;
}

/** Writes the light that comes from what a sample sees. */
function shade(easel: Easel, x: number, row: number, key: number, share: number): void {
  const { composition, target, hit, ray, colour, open } = easel;
  const { view, backdrop, surroundings } = composition;
  const across = (x + target.shifts[row & 3] - view.centreX) / view.zoom;
  const upward = -((row + 0.5) / 4 - view.centreY) / view.zoom;
  const { right, up, forward } = view;
  ray.x = forward[0] + across * right[0] + upward * up[0];
  ray.y = forward[1] + across * right[1] + upward * up[1];
  ray.z = forward[2] + across * right[2] + upward * up[2];
  const size = Math.sqrt(ray.x * ray.x + ray.y * ray.y + ray.z * ray.z);
  ray.x /= size;
  ray.y /= size;
  ray.z /= size;
  if (key < 0) {
    backdrop.colour(key + PARTS, ray, 1 / (view.zoom * size), colour);
    return;
  }
  ray.distance = size / target.nearness[row * target.columns + x];
  clearAnswer(hit);
  placeHit(hit, ray, composition, Math.floor(key / PARTS));
  lookOf(composition, key).material(hit);
  hit.open *= open[(row >> 2) * target.columns + x];
  lightHit(hit, ray, surroundings, colour);
  const clear = throughFog(ray, surroundings, colour);
  if (hit.mirror)
    addMirror(easel.mirrors, (row >> 2) * target.columns + x, hit, ray, mirroredShare(hit, ray) * share * clear);
}

const fogColour = new Float64Array(3);

/** @returns the share of light that comes through the air */
function throughFog(ray: Ray, { fog, fogColour: colourOf }: Surroundings, colour: Float64Array): number {
  if (fog === 0) return 1;
  // e to the power of -d, near enough, without a loop: this runs for every pixel.
  const d = fog * ray.distance;
  const clear = 1 / (1 + d * (1 + d * (0.5 + d * (0.1667 + d * 0.05))));
  colourOf(ray.x, ray.y, ray.z, fogColour);
  for (let i = 0; i < 3; i++) colour[i] = fogColour[i] + (colour[i] - fogColour[i]) * clear;
  return clear;
}
