import { LABELS } from '../classes.ts';
import { inside } from '../materials/facade.ts';
import { asphalt, earthGround, grassGround, ploughedGround } from '../materials/ground.ts';
import { courses } from '../materials/masonry.ts';
import { waterSurface } from '../materials/water.ts';
import { fraction, mix, smoothStep } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import { noise, octaves } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Hit, type Material, shadeBy, tintTo } from '../render/hit.ts';
import type { Look } from '../render/scene.ts';
import type { Season } from '../things/species.ts';
import { lateral, type Path } from './path.ts';

/** Water, as an island in the ground or as all of it beyond a line. */
export interface Water {
  readonly x: number;
  readonly z: number;
  readonly halfX: number;
  readonly halfZ: number;
  readonly seed: number;
}

export interface GroundPlan {
  readonly base: 'grass' | 'earth' | 'paved' | 'field' | 'sand';
  /** Share of bare patches in grass, from 0 to 1. */
  readonly patches: number;
  readonly paths: readonly Path[];
  readonly waters: readonly Water[];
  readonly seed: number;
}

const PART = { grass: 0, earth: 1, road: 2, walk: 3, curb: 4, water: 5, footpath: 6, paved: 7, field: 8, sand: 9 };

/** Width of the stone at a sidewalk's edge. */
const CURB = 0.22;

/** How far inside water a place is: above 0 in it, 1 at its middle. */
function depthIn({ x: cx, z: cz, halfX, halfZ, seed }: Water, x: number, z: number): number {
  const [dx, dz] = [(x - cx) / halfX, (z - cz) / halfZ];
  const square = dx * dx + dz * dz;
  if (square > 2.5) return -1;
  return 1 - Math.sqrt(square) + 0.16 * octaves(x * 0.09 + seed, z * 0.09, 4, 0.02, 0.5);
}

/** Number of the ground's part at a place. */
export function partAt(plan: GroundPlan, x: number, z: number): number {
  for (const path of plan.paths) {
    const side = Math.abs(lateral(path, x, z));
    if (path.kind === 'footpath') {
      if (side > path.half + 0.6) continue;
      if (side + 0.35 * noise(x * 0.9, z * 0.9 + plan.seed) + 0.12 * noise(x * 5, z * 5) < path.half)
        return PART.footpath;
      continue;
    }
    if (side < path.half) return PART.road;
    if (side >= path.walk) continue;
    // Where roads meet, the crossing is open.
    if (
      plan.paths.some((other) => other !== path && other.kind === 'road' && Math.abs(lateral(other, x, z)) < other.half)
    )
      return PART.road;
    return side < path.half + CURB ? PART.curb : PART.walk;
  }
  for (const water of plan.waters) {
    const depth = depthIn(water, x, z);
    if (depth > 0) return PART.water;
    if (depth > -0.07 - 0.05 * noise(x * 0.2, z * 0.2)) return plan.base === 'sand' ? PART.sand : PART.earth;
  }
  if (plan.base === 'paved') return PART.paved;
  if (plan.base === 'field') return PART.field;
  if (plan.base === 'sand') return PART.sand;
  if (plan.base === 'earth')
    return octaves(x * 0.11 + plan.seed, z * 0.11, 4, 0.03, 0.6) > 0.05 + plan.patches * 0.5 ? PART.grass : PART.earth;
  return plan.patches > 0 && octaves(x * 0.13 + plan.seed, z * 0.13, 4, 0.03, 0.6) > 0.95 - plan.patches
    ? PART.earth
    : PART.grass;
}

/** Whether a thing may stand at a place: not on roads or in water. */
export function isFree(plan: GroundPlan, x: number, z: number, margin: number): boolean {
  if (plan.paths.some((path) => Math.abs(lateral(path, x, z)) < path.walk + margin)) return false;
  return !plan.waters.some((water) => depthIn(water, x, z) > -0.05 - margin * 0.03);
}

/** Colours of fresh and of dry grass. */
export function grassColours(random: Random, season: Season): [Vector, Vector] {
  const hue = { spring: 0.25, summer: 0.235, autumn: 0.2, winter: 0.16 }[season] + random.between(-0.035, 0.04);
  const fresh = colourOf(hue, random.between(0.32, 0.6), random.between(0.34, 0.5));
  return [fresh, colourOf(hue - random.between(0.02, 0.08), random.between(0.3, 0.55), random.between(0.45, 0.62))];
}

/** Looks of the ground's parts, in the order of their numbers. */
export function groundLooks(random: Random, plan: GroundPlan, [fresh, dry]: readonly [Vector, Vector]): Look[] {
  const seed = random.between(0, 200);
  const soil = scale(colourOf(random.between(0.05, 0.11), random.between(0.2, 0.5), random.between(0.36, 0.66)), 1);
  const tar = scale([1, 1, 1.03], random.between(0.055, 0.2));
  const age = random.next();
  const wet = random.chance(0.18) ? random.between(0.4, 1) : 0;
  const road = asphalt({ colour: tar, seed, age, wet });
  const stony = random.next();
  const materials: [keyof typeof LABELS, Material][] = [
    ['grass', grassGround(fresh, dry, seed, random.next())],
    ['earth', earthGround(soil, seed, stony)],
    ['road', marked(road, plan, random)],
    ['sidewalk', pavement(random)],
    ['sidewalk', curbStone(random)],
    ['water', waterSurface(random)],
    ['earth', earthGround(scale(soil, 1.25), seed + 31, stony)],
    ['sidewalk', pavement(random)],
    ['earth', ploughedGround(scale(soil, 0.8), seed)],
    [
      'earth',
      earthGround(
        colourOf(random.between(0.09, 0.13), random.between(0.15, 0.4), random.between(0.68, 0.85)),
        seed,
        0.1,
      ),
    ],
  ];
  return materials.map(([name, material]) => ({ label: LABELS[name], material }));
}

function pavement(random: Random): Material {
  const tone = scale([0.4, 0.385, 0.36], random.between(0.5, 1.35));
  const warm = scale(colourOf(random.between(0.02, 0.1), random.between(0.1, 0.45), 0.6), random.between(0.6, 1.1));
  const base: Vector = random.chance(0.6) ? tone : warm;
  const shape = random.pick([
    [0.6, 0.6, 0],
    [0.2, 0.1, 0.5],
    [0.5, 0.35, 0.5],
    [1.5, 1.5, 0],
    [0.12, 0.12, 0.5],
  ] as const);
  const colours = [base, scale(base, 0.88), scale(base, 1.1)];
  return courses({
    width: shape[0],
    height: shape[1],
    offset: shape[2],
    joint: 0.014,
    colours,
    jointColour: scale(base, 0.45),
    variety: 0.22,
    roughness: 0.16,
    grain: 14,
    crooked: shape[0] < 0.2 ? 0.02 : 0,
    seed: random.whole(0, 250),
  });
}

function curbStone(random: Random): Material {
  const base = scale([0.5, 0.49, 0.47], random.between(0.6, 1.2));
  return courses({
    width: 1,
    height: 1,
    joint: 0.015,
    colours: [base, scale(base, 0.9)],
    jointColour: scale(base, 0.4),
    variety: 0.15,
    roughness: 0.15,
    grain: 16,
    offset: 0,
    seed: 4,
  });
}

/** Lines painted on the road, and where tyres run. */
function marked(road: Material, plan: GroundPlan, random: Random): Material {
  const lines = random.chance(0.75);
  const edges = random.chance(0.4);
  const yellow = random.chance(0.3);
  const worn = random.between(0.1, 0.8);
  const zebra = random.chance(0.35) ? random.between(6, 16) : -1e3;
  return (hit) => {
    road(hit);
    for (const path of plan.paths) {
      if (path.kind !== 'road') continue;
      const side = lateral(path, hit.x, hit.z);
      if (Math.abs(side) > path.half) continue;
      const along = path.across ? hit.x : hit.z;
      tracks(hit, Math.abs(side), path.half);
      const line = lines ? inside(side, -0.07, 0.07, hit.footprint) * (fraction(along / 5.5) < 0.5 ? 1 : 0) : 0;
      const edge = edges ? inside(Math.abs(side), path.half - 0.35, path.half - 0.23, hit.footprint) : 0;
      const bar =
        inside(along, zebra, zebra + 3.2, hit.footprint) * inside(fraction(side / 1.1), 0.25, 0.75, hit.footprint);
      mark(hit, Math.max(line, edge, bar), worn, yellow && bar === 0);
      return;
    }
  };
}

function tracks(hit: Hit, side: number, half: number): void {
  const lane = Math.abs(side - half / 2);
  const wheel = smoothStep(0.5, 0.1, Math.abs(lane - 0.75));
  shadeBy(hit, 1 - 0.12 * wheel + 0.08 * smoothStep(half - 0.6, half, side));
}

function mark(hit: Hit, share: number, worn: number, yellow: boolean): void {
  if (share <= 0) return;
  const left = smoothStep(worn - 0.75, worn - 0.1, 0.5 + octaves(hit.x * 7, hit.z * 7, 4, hit.footprint * 7, 0.7));
  tintTo(hit, yellow ? [0.62, 0.43, 0.07] : [0.68, 0.68, 0.66], share * mix(0.35, 0.95, left));
}
