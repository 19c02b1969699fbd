import { LABELS } from '../classes.ts';
import { clamp } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import { octaves, ridges } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';
import type { MaskKind } from '../render/masks.ts';
import { addCutoutLook, type Look, type Scene } from '../render/scene.ts';

export type Habit = 'round' | 'oval' | 'column' | 'spreading' | 'weeping' | 'conifer' | 'bare';

/** A kind of tree or shrub, as it looks in this scene. */
export interface Species {
  readonly habit: Habit;
  /** Number of its leaves' look. */
  readonly leaf: number;
  readonly bark: Look;
  readonly mask: MaskKind;
  /** Width of the crown, of its height. */
  readonly girth: number;
  /** Share of its height where the crown begins. */
  readonly stem: number;
  /** How much of the crown is leaves: 1 dense. */
  readonly density: number;
  /** Metres, full-grown. */
  readonly height: number;
}

const HABITS: readonly Habit[] = [
  'round',
  'round',
  'oval',
  'oval',
  'spreading',
  'column',
  'weeping',
  'conifer',
  'conifer',
  'bare',
];

export type Season = 'spring' | 'summer' | 'autumn' | 'winter';

export function pickSpecies(scene: Scene, random: Random, season: Season): Species {
  const wintry = season === 'winter';
  const habit = wintry && random.chance(0.6) ? 'bare' : random.pick(HABITS.slice(0, wintry ? 10 : 9));
  const conifer = habit === 'conifer';
  const material = leaves(leafColours(random, season, conifer), random.between(0.15, 0.4));
  const shape = {
    round: { girth: random.between(0.75, 1), stem: random.between(0.2, 0.35), height: random.between(6, 14) },
    oval: { girth: random.between(0.5, 0.7), stem: random.between(0.15, 0.3), height: random.between(7, 18) },
    column: { girth: random.between(0.18, 0.28), stem: random.between(0.05, 0.14), height: random.between(9, 20) },
    spreading: { girth: random.between(1.1, 1.5), stem: random.between(0.25, 0.4), height: random.between(5, 10) },
    weeping: { girth: random.between(0.9, 1.2), stem: random.between(0.2, 0.3), height: random.between(6, 11) },
    conifer: { girth: random.between(0.3, 0.5), stem: random.between(0.04, 0.18), height: random.between(8, 22) },
    bare: { girth: random.between(0.7, 1.1), stem: random.between(0.2, 0.35), height: random.between(6, 14) },
  }[habit];
  const leaf = addCutoutLook(scene, { label: LABELS.tree, material });
  const bark = { label: LABELS.tree, material: barkOf(random) };
  const mask: MaskKind = conifer ? 'needles' : random.pick(['broadleaf', 'smallLeaf', 'smallLeaf'] as const);
  return { habit, leaf, bark, mask, density: random.between(0.75, 1.25), ...shape };
}

/** Dark and light colours of a kind's leaves. */
export function leafColours(random: Random, season: Season, conifer: boolean): [Vector, Vector] {
  const value = random.between(0.32, 0.56);
  const summer = (): Vector => colourOf(random.between(0.17, 0.34), random.between(0.35, 0.68), value);
  const kinds: Record<Season, () => Vector> = {
    spring: () =>
      random.chance(0.3)
        ? colourOf(random.between(0.9, 1.0), random.between(0.1, 0.35), 0.85)
        : colourOf(random.between(0.17, 0.25), 0.7, value + 0.14),
    summer,
    autumn: () =>
      random.chance(0.75)
        ? colourOf(random.between(0.0, 0.16), random.between(0.65, 0.92), random.between(0.42, 0.75))
        : summer(),
    winter: () => colourOf(random.between(0.08, 0.2), random.between(0.25, 0.5), 0.36),
  };
  const base = conifer
    ? colourOf(random.between(0.22, 0.45), random.between(0.3, 0.65), random.between(0.2, 0.4))
    : kinds[season]();
  return [scale(base, 0.5), scale(base, 1.35)];
}

export function leaves([dark, light]: readonly [Vector, Vector], through: number): Material {
  return (hit) => {
    const share = clamp(0.65 * hit.leaf + 0.5 * hit.tint - 0.1, 0, 1);
    paint(hit, dark);
    tintTo(hit, light, share);
    // Old and young leaves.
    hit.red *= 0.8 + 0.5 * hit.tint * hit.leaf;
    ruffle(hit);
    hit.through = through;
    hit.gloss = 0.015;
    hit.dullness = 0.6;
  };
}

/** Each leaf turns its own way. */
function ruffle(hit: Hit): void {
  const a = hit.leaf * 7.13 + hit.tint * 3.7;
  const b = hit.leaf * 13.7 + hit.tint * 5.1;
  const x = hit.nx + 1.1 * (a - Math.floor(a) - 0.5);
  const y = hit.ny + 0.7 * (b - Math.floor(b) - 0.5);
  const z = hit.nz + 1.1 * (a + b - Math.floor(a + b) - 0.5);
  const size = Math.sqrt(x * x + y * y + z * z) + 1e-6;
  hit.nx = x / size;
  hit.ny = y / size;
  hit.nz = z / size;
}

function barkOf(random: Random): Material {
  const colour = random.chance(0.15)
    ? ([0.55, 0.53, 0.49] as Vector)
    : scale([0.11, 0.085, 0.06], random.between(0.5, 1.7));
  const seed = random.between(0, 200);
  return (hit) => {
    const { u, v, footprint } = hit;
    const furrow = ridges(u * 7 + 0.4 * octaves(v, seed, 2, 0), v * 1.3 + seed, 3, footprint * 7);
    paint(hit, colour, 0.55 + 0.75 * furrow + 0.15 * octaves(u * 20, v * 20 + seed, 2, footprint * 20));
    tilt(hit, 0.7 * (furrow - 0.5), 0.2 * octaves(u * 9, v * 9, 2, footprint * 9));
    if (v < 0.8) shadeBy(hit, 0.75 + 0.3 * v);
  };
}
