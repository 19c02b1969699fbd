import { clamp, mix, smoothStep } from '../maths/arithmetic.ts';
import { noise, octaves, ridges } from '../maths/noise.ts';
import type { Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';

/** Lawns and meadows: patches, tussocks and blades. */
export function grassGround(fresh: Vector, dry: Vector, seed: number, rough: number): Material {
  return (hit) => {
    const { x, z, footprint } = hit;
    const patches = octaves(x * 0.12 + seed, z * 0.12, 5, footprint * 0.12, 0.6);
    const tussocks = octaves(x * 1.3 + seed, z * 1.3, 4, footprint * 1.3, 0.7);
    // Blades stand upright, so that they are longer than wide as they are seen: drawn out away from the eye.
    const blades = octaves(x * 7 + tussocks, z * 1.9 + seed, 6, footprint * 4, 0.85);
    paint(hit, fresh);
    tintTo(hit, dry, clamp(0.35 + 0.75 * patches + 0.2 * tussocks + 0.12 * blades, 0, 1));
    shadeBy(hit, Math.max(0.2, 1 + (0.1 + 0.2 * rough) * tussocks + 0.24 * blades + 0.1 * patches));
    // Blades stand, so that a lawn is lit from any side, and looks darker from above than along.
    const lean = noise(x * 3.1 + 9, z * 3.1 + seed);
    tilt(hit, 0.3 * lean + 0.12 * blades, 0.3 * noise(x * 2.7, z * 2.7 + 30) + 0.12 * tussocks);
    hit.open = clamp(0.85 + 0.12 * blades + 0.1 * tussocks, 0.35, 1);
    hit.through = 0.15;
  };
}

/** Soil, sand, gravel, trodden paths. */
export function earthGround(colour: Vector, seed: number, stony: number): Material {
  return (hit) => {
    const { x, z, footprint } = hit;
    const broad = octaves(x * 0.4 + seed, z * 0.4, 6, footprint * 0.4, 0.62);
    const grain = octaves(x * 5, z * 5 + seed, 6, footprint * 5, 0.85);
    paint(hit, colour);
    shadeBy(hit, Math.max(0.25, 1 + 0.28 * broad + (0.14 + 0.2 * stony) * grain));
    tilt(hit, 0.4 * stony * grain + 0.2 * broad, 0.4 * stony * noise(x * 22, z * 22 + 77));
    const damp = smoothStep(0.2, 0.6, noise(x * 0.3 + seed, z * 0.3 + 13));
    shadeBy(hit, 1 - 0.35 * damp);
    if (stony > 0.3) stones(hit, seed, stony);
  };
}

function stones(hit: Hit, seed: number, stony: number): void {
  const n = noise(hit.x * 9 + seed, hit.z * 9);
  const stone = smoothStep(0.5 - 0.15 * stony, 0.56, n) * clamp(1.4 - hit.footprint * 12, 0, 1);
  tintTo(hit, [0.32, 0.3, 0.27], 0.7 * stone);
}

/** Ploughed land: furrows along z. */
export function ploughedGround(colour: Vector, seed: number): Material {
  const soil = earthGround(colour, seed, 0.6);
  return (hit) => {
    soil(hit);
    const row = 2.2 * (hit.x + 0.3 * noise(hit.z * 0.2, seed));
    const visible = clamp(1.5 - hit.footprint * 3, 0, 1);
    const wave = Math.abs(row - Math.floor(row) - 0.5) * 4 - 1;
    shadeBy(hit, 1 + 0.25 * visible * wave);
    tilt(hit, 0.5 * visible * (row - Math.floor(row) < 0.5 ? -1 : 1), 0);
  };
}

export interface AsphaltLook {
  readonly colour: Vector;
  readonly seed: number;
  /** From 0, new, to 1, patched and cracked. */
  readonly age: number;
  /** From 0 to 1. */
  readonly wet: number;
}

export function asphalt({ colour, seed, age, wet }: AsphaltLook): Material {
  return (hit) => {
    const { x, z, footprint } = hit;
    const grain = octaves(x * 6, z * 6 + seed, 6, footprint * 6, 0.9);
    const broad = octaves(x * 0.3 + seed, z * 0.12, 6, footprint * 0.3, 0.6);
    paint(hit, colour);
    shadeBy(hit, Math.max(0.3, 1 + 0.1 * grain + (0.1 + 0.15 * age) * broad));
    if (age > 0.3) crack(hit, seed, age);
    const repaired = smoothStep(0.42, 0.44, noise(x * 0.35 + seed, z * 0.22 + 50) * age);
    tintTo(hit, [0.045, 0.045, 0.05], 0.6 * repaired);
    tilt(hit, 0.06 * grain, 0.12 * noise(x * 61, z * 61));
    const puddle = wet * smoothStep(-0.1, 0.35, broad + wet - 0.55);
    shadeBy(hit, mix(1, 0.5, puddle));
    hit.gloss = 0.02 + 0.03 * puddle;
    hit.dullness = mix(0.75, 0.12, puddle);
    if (puddle > 0.35) {
      hit.mirror = true;
      tilt(hit, 0, 0);
    }
  };
}

function crack(hit: Hit, seed: number, age: number): void {
  const { x, z, footprint } = hit;
  const warpX = x + 0.3 * noise(x * 1.7, z * 1.7 + seed);
  const crest = ridges(warpX * 0.5 + seed, z * 0.5, 2, footprint * 0.5, 0.4);
  const thin = smoothStep(0.93, 0.985, crest) * clamp(1.2 - 14 * footprint, 0.15, 1);
  shadeBy(hit, 1 - 0.65 * age * thin);
}
