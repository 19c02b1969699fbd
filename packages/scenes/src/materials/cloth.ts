import { fraction } from '../maths/arithmetic.ts';
import { CLOTHS, pickColour } from '../maths/colour.ts';
import { noise, octaves } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';

export type Pattern = 'plain' | 'stripes' | 'checks' | 'dots' | 'flowers';

export interface ClothLook {
  readonly colour: Vector;
  readonly second: Vector;
  readonly pattern: Pattern;
  /** Repeats per metre. */
  readonly scale: number;
  /** Depth of folds, from 0 to 1, and how many there are in a metre. */
  readonly folds: number;
  readonly foldScale: number;
  readonly seed: number;
}

export function pickCloth(random: Random, folds: number, foldScale: number): ClothLook {
  const colour = pickColour(random, random.chance(0.3) ? { ...CLOTHS, saturation: [0.5, 0.85] } : CLOTHS);
  const pattern = random.chance(0.55) ? 'plain' : random.pick(['stripes', 'checks', 'dots', 'flowers'] as const);
  const second = random.chance(0.4) ? scale(colour, random.between(0.35, 1.5)) : pickColour(random, CLOTHS);
  return { colour, second, pattern, scale: random.between(4, 18), folds, foldScale, seed: random.between(0, 200) };
}

/** Woven cloth: its pattern, its weave, and the folds in which it lies. */
export function cloth(look: ClothLook): Material {
  const { colour, second, folds, foldScale, seed } = look;
  return (hit) => {
    const { u, v, footprint } = hit;
    paint(hit, colour);
    const share = patternAt(look, u, v);
    if (share > 0) tintTo(hit, second, share * Math.max(0, Math.min(1, 1.5 - footprint * look.scale * 2)));
    const a = octaves(u * foldScale + seed, v * foldScale * 0.7, 3, footprint * foldScale, 0.55);
    const b = octaves(u * foldScale + seed + 40, v * foldScale * 0.7 + 9, 3, footprint * foldScale, 0.55);
    tilt(hit, folds * a, folds * b);
    const weave =
      octaves(u * 160, v * 160 + seed, 2, footprint * 160) +
      0.6 * octaves(u * 19, v * 19 + seed, 4, footprint * 19, 0.8);
    shadeBy(hit, Math.max(0.3, 1 + 0.1 * weave + 0.22 * folds * a));
    hit.through = 0.05;
  };
}

function patternAt({ pattern, scale: repeats, seed }: ClothLook, u: number, v: number): number {
  const [x, y] = [u * repeats, v * repeats];
  const [across, up] = [fraction(x), fraction(y)];
  switch (pattern) {
    case 'stripes':
      return across < 0.42 ? 1 : 0;
    case 'checks':
      return 0.5 * (across < 0.45 ? 1 : 0) + 0.5 * (up < 0.45 ? 1 : 0);
    case 'dots':
      return (across - 0.5) * (across - 0.5) + (up - 0.5) * (up - 0.5) < 0.06 ? 1 : 0;
    case 'flowers':
      return noise(x * 0.8 + seed, y * 0.8) > 0.22 ? 1 : noise(x * 1.3 + 30, y * 1.3 + seed) > 0.4 ? 0.6 : 0;
    default:
      return 0;
  }
}

/** Skin, hair, leather: one colour with faint unevenness. */
export function soft(colour: Vector, grain: number, gloss = 0.02): Material {
  return (hit: Hit) => {
    paint(hit, colour);
    shadeBy(hit, 1 + 0.12 * octaves(hit.u * grain, hit.v * grain + 3, 3, hit.footprint * grain, 0.7));
    hit.gloss = gloss;
    hit.dullness = 0.55;
  };
}
