import { mix } from '../maths/arithmetic.ts';
import { pickColour, WOODS } from '../maths/colour.ts';
import { octaves } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Material, paint, shadeBy, tilt } from '../render/hit.ts';
import { courses } from './masonry.ts';

/** Wood of furniture: its grain runs along the longer side. */
export function wood(colour: Vector, seed: number, gloss: number): Material {
  return (hit) => {
    const along = hit.width > hit.height;
    const [u, v] = along ? [hit.v, hit.u] : [hit.u, hit.v];
    const bend = octaves(u * 3 + seed + 9 * hit.tint, v * 0.6, 2, hit.footprint * 3);
    const rings = octaves(u * 22 + 2.5 * bend + seed, v * 0.9 + 7 * hit.tint, 4, hit.footprint * 22, 0.7);
    const fine = octaves(u * 150, v * 4 + seed, 2, hit.footprint * 150);
    paint(hit, colour, Math.max(0.3, 1 + 0.22 * rings + 0.12 * bend + 0.08 * fine));
    tilt(hit, along ? 0 : 0.02 * rings, along ? 0.02 * rings : 0);
    hit.gloss = gloss;
    hit.dullness = 0.38;
  };
}

/** Painted board: one colour, a faint brush. */
export function painted(colour: Vector, seed: number, gloss = 0.03): Material {
  return (hit) => {
    const { u, v, footprint } = hit;
    const brush = octaves(u * 5 + seed, v * 40, 3, footprint * 30, 0.6);
    paint(hit, colour, 1 + 0.03 * brush + 0.03 * octaves(u * 1.5 + seed, v * 1.5, 3, footprint * 1.5));
    hit.gloss = gloss;
    hit.dullness = 0.45;
  };
}

/** What a piece of furniture is made of: wood mostly, or painted. */
export function pickBoard(random: Random): Material {
  const seed = random.between(0, 200);
  if (random.chance(0.7)) return wood(pickColour(random, WOODS), seed, random.between(0.01, 0.05));
  if (random.chance(0.6)) return painted(scale([0.72, 0.71, 0.68], random.between(0.65, 1.1)), seed);
  const bright = pickColour(random, { hue: [0, 1], saturation: [0.1, 0.6], value: [0.12, 0.8] });
  return painted(bright, seed);
}

/** A floor of boards. */
export function boards(random: Random): Material {
  const colour = pickColour(random, WOODS);
  const narrow = random.chance(0.4);
  const planks = courses({
    width: narrow ? random.between(0.3, 0.6) : random.between(1, 2),
    height: narrow ? 0.07 : random.between(0.1, 0.2),
    joint: 0.004,
    colours: [1, 0.88, 1.13, 0.95].map((factor) => scale(colour, factor)),
    jointColour: scale(colour, 0.25),
    variety: random.between(0.1, 0.4),
    roughness: 0,
    grain: 1,
    offset: narrow && random.chance(0.5) ? 0.5 : 1,
    gloss: mix(0.02, 0.06, random.next()),
    dullness: random.between(0.2, 0.45),
    seed: random.whole(0, 250),
  });
  const seed = random.between(0, 200);
  return (hit) => {
    planks(hit);
    const { u, v, footprint } = hit;
    const grain = octaves(u * 1.2, v * 34 + seed, 4, footprint * 34, 0.65);
    shadeBy(hit, Math.max(0.4, 1 + 0.14 * grain));
  };
}
