import { cosine, fraction, mix, sine, smoothStep, TURN } from '../maths/arithmetic.ts';
import { pickColour } from '../maths/colour.ts';
import { noise, octaves } from '../maths/noise.ts';
import { cellValue, type Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';
import type { ClothLook } from './cloth.ts';
import { cloth } from './cloth.ts';
import { courses, plaster } from './masonry.ts';

/** A wall is built of pieces around its openings; its pattern runs through all of them, by places in the room. */
export function throughout(material: Material): Material {
  return (hit) => {
    hit.u = Math.abs(hit.nx) > 0.5 ? hit.z : hit.x;
    hit.v = hit.y;
    material(hit);
  };
}

/** Paint or paper, perhaps wainscot or tiles below it. */
export function pickWall(random: Random, colour: Vector): Material {
  const seed = random.between(0, 200);
  const plain = plaster(colour, seed, random.between(0.05, 0.35));
  const kind = random.next();
  if (kind < 0.55) return throughout(plain);
  if (kind < 0.75) return throughout(wallpaper(random, colour, seed));
  if (kind < 0.85) return throughout(brick(random));
  const tall = random.between(0.8, 1.3);
  const lower = kind < 0.93 ? wainscot(random) : tiles(random);
  return throughout((hit) => {
    if (hit.v < tall) lower(hit);
    else plain(hit);
    shadeBy(hit, 1 - 0.5 * smoothStep(0.03, 0.01, Math.abs(hit.v - tall)));
  });
}

function wallpaper(random: Random, colour: Vector, seed: number): Material {
  const second = scale(colour, random.between(0.55, 1.25));
  const pattern = random.pick(['stripes', 'flowers', 'dots', 'checks'] as const);
  const look: ClothLook = {
    colour,
    second,
    pattern,
    scale: random.between(3, 9),
    folds: 0,
    foldScale: 1,
    seed,
  };
  return cloth(look);
}

function brick(random: Random): Material {
  const base = pickColour(random, { hue: [0.01, 0.06], saturation: [0, 0.55], value: [0.45, 0.9] });
  const colours = [1, 0.8, 1.15, 0.9].map((factor) => scale(base, factor));
  return courses({
    width: 0.22,
    height: 0.07,
    joint: 0.012,
    colours,
    jointColour: scale(base, random.between(0.6, 1.3)),
    variety: 0.3,
    roughness: 0.2,
    grain: 18,
    offset: 0.5,
    seed: random.whole(0, 250),
  });
}

function wainscot(random: Random): Material {
  const base = pickColour(random, { hue: [0.05, 0.1], saturation: [0, 0.5], value: [0.3, 0.9] });
  return courses({
    width: random.between(0.08, 0.3),
    height: 9,
    joint: 0.008,
    colours: [base, scale(base, 0.95)],
    jointColour: scale(base, 0.35),
    variety: 0.08,
    roughness: 0.05,
    grain: 10,
    offset: 0,
    gloss: 0.02,
    dullness: 0.5,
    seed: random.whole(0, 250),
  });
}

export function tiles(random: Random): Material {
  const base = pickColour(random, { hue: [0, 1], saturation: [0, 0.35], value: [0.35, 0.92] });
  const side = random.pick([0.1, 0.15, 0.3, 0.45, 0.6] as const);
  const chequered = random.chance(0.25);
  return courses({
    width: side,
    height: side,
    joint: 0.006,
    colours: chequered ? [base, scale(base, 0.25)] : [base, scale(base, 0.93), scale(base, 1.05)],
    jointColour: scale([0.5, 0.49, 0.47], random.between(0.4, 1.3)),
    variety: 0.1,
    roughness: 0.05,
    grain: 6,
    offset: random.chance(0.2) ? 0.5 : 0,
    gloss: random.between(0.03, 0.07),
    dullness: random.between(0.12, 0.4),
    seed: random.whole(0, 250),
  });
}

/** Carpet from wall to wall. */
export function carpet(random: Random): Material {
  const colour = pickColour(random, { hue: [0, 1], saturation: [0, 0.4], value: [0.25, 0.75] });
  const seed = random.between(0, 200);
  return (hit) => {
    const { u, v, footprint } = hit;
    const pile = octaves(u * 40 + seed, v * 40, 4, footprint * 40, 0.85);
    const trodden = octaves(u * 1.2 + seed, v * 1.2, 5, footprint * 1.2, 0.6);
    paint(hit, colour, Math.max(0.4, 1 + 0.16 * pile + 0.1 * trodden));
    tilt(hit, 0.2 * pile, 0.15 * trodden);
  };
}

/** Cloth that hangs in folds; u runs across. */
export function curtainCloth(look: ClothLook, waves: number): Material {
  const flat = cloth(look);
  return (hit) => {
    const at = hit.u * waves + 0.35 * noise(hit.u * 3 + look.seed, hit.v * 0.5) + 10 * hit.tint;
    const turn = TURN * at;
    flat(hit);
    const visible = Math.max(0, Math.min(1, 2 - 4 * hit.footprint * waves));
    tilt(hit, 0.9 * visible * cosine(turn), 0);
    shadeBy(hit, mix(0.8, 0.72 + 0.28 * sine(turn), visible));
    hit.through = 0.45;
  };
}

/** What hangs in a frame: a landscape, or shapes. */
export function canvas(random: Random): Material {
  const palette = { hue: [0, 1], saturation: [0.15, 0.75], value: [0.15, 0.9] } as const;
  const colours = Array.from({ length: 5 }, () => pickColour(random, palette));
  const seed = random.between(0, 200);
  const kind = random.pick(['landscape', 'landscape', 'blocks', 'shapes'] as const);
  const border = random.chance(0.35) ? random.between(0.08, 0.2) : 0;
  return (hit) => {
    const { width, height } = hit;
    const margin = border * Math.min(width, height);
    const edge = Math.min(hit.u, width - hit.u, hit.v, height - hit.v);
    if (edge < margin) paint(hit, [0.72, 0.7, 0.66]);
    else if (kind === 'landscape') landscape(hit, colours, seed);
    else if (kind === 'blocks') blocks(hit, colours, seed);
    else shapes(hit, colours, seed);
    hit.gloss = 0.02;
    hit.dullness = 0.3;
  };
}

function landscape(hit: Hit, colours: readonly Vector[], seed: number): void {
  const x = hit.u / hit.height;
  const y = hit.v / hit.height;
  const print = hit.footprint / hit.height;
  paint(hit, colours[0]);
  tintTo(hit, [0.75, 0.74, 0.66], smoothStep(0.95, 0.45, y) * 0.8);
  tintTo(hit, [0.8, 0.78, 0.74], 0.6 * smoothStep(0.05, 0.4, octaves(x * 2.2 + seed, y * 5, 4, print * 4, 0.55)));
  for (let i = 1; i < 4; i++) {
    const crest = 0.72 - 0.2 * i + (0.16 - 0.03 * i) * octaves(x * (1.2 + i) + seed + 20 * i, 3, 4, print * 4);
    if (y > crest) continue;
    paint(hit, colours[i]);
    tintTo(hit, colours[0], 0.5 - 0.15 * i);
    shadeBy(hit, 1 + 0.4 * octaves(x * 9 + seed, y * 14, 4, print * 14, 0.7));
  }
}

function blocks(hit: Hit, colours: readonly Vector[], seed: number): void {
  let [x, y] = [hit.u / hit.width, hit.v / hit.height];
  let cell = Math.floor(seed * 17);
  for (let i = 0; i < 4; i++) {
    const cut = 0.25 + 0.5 * cellValue(cell, i, 5);
    const across = i % 2 === 0;
    const at = across ? x : y;
    if (Math.abs(at - cut) < 0.012) {
      paint(hit, [0.02, 0.02, 0.02]);
      return;
    }
    const next = at < cut ? at / cut : (at - cut) / (1 - cut);
    if (across) x = next;
    else y = next;
    cell = cell * 2 + (at < cut ? 1 : 0);
  }
  paint(hit, colours[Math.floor(cellValue(cell, 9, 5) * colours.length)]);
}

function shapes(hit: Hit, colours: readonly Vector[], seed: number): void {
  const [x, y] = [hit.u / hit.height, hit.v / hit.height];
  const print = hit.footprint / hit.height;
  const field = octaves(x * 2 + seed, y * 2, 3, print * 2) + 0.3 * octaves(x * 7, y * 7 + seed, 3, print * 7);
  const level = fraction(field * 1.4 + 0.5) * colours.length;
  paint(hit, colours[Math.min(colours.length - 1, Math.floor(level))]);
  shadeBy(hit, 1 + 0.15 * octaves(x * 30, y * 30 + seed, 2, print * 30));
}
