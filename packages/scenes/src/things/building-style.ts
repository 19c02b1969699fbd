import { LABELS } from '../classes.ts';
import { type FacadeStyle, facade } from '../materials/facade.ts';
import { concrete, courses, plaster, roofing } from '../materials/masonry.ts';
import { colourOf, PALE, pickColour, WOODS } from '../maths/colour.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import type { Material } from '../render/hit.ts';
import type { Look } from '../render/scene.ts';

export interface BuildingStyle {
  readonly front: Look;
  readonly side: Look;
  readonly plain: Look;
  readonly trim: Look;
  readonly roof: Look;
  readonly door: Look;
  readonly roofKind: 'gable' | 'hip' | 'flat';
  readonly floorHeight: number;
  readonly balconies: boolean;
  readonly chimneys: boolean;
  /** Of the roof: height over half width. */
  readonly pitch: number;
}

type Kind = 'house' | 'town' | 'block' | 'office';

export function brickWall(random: Random): Material {
  const hue = random.between(0.0, 0.09);
  const value = random.between(0.3, 0.72);
  const saturation = random.between(0.25, 0.65);
  const colours = Array.from({ length: 5 }, () =>
    colourOf(
      hue + random.between(-0.02, 0.02),
      saturation * random.between(0.7, 1.2),
      value * random.between(0.8, 1.15),
    ),
  );
  return courses({
    width: 0.23,
    height: 0.075,
    joint: 0.012,
    colours,
    jointColour: scale([0.42, 0.4, 0.36], random.between(0.5, 1.2)),
    variety: 0.35,
    roughness: 0.22,
    grain: 18,
    offset: 0.5,
    seed: random.whole(0, 250),
  });
}

export function stoneWall(random: Random): Material {
  const colours = Array.from({ length: 6 }, () =>
    colourOf(random.between(0.07, 0.14), random.between(0.08, 0.35), random.between(0.4, 0.72)),
  );
  const [width, height] = [random.between(0.3, 0.6), random.between(0.14, 0.3)];
  return courses({
    width,
    height,
    joint: 0.025,
    colours,
    jointColour: [0.3, 0.28, 0.24],
    variety: 0.5,
    roughness: 0.4,
    grain: 7,
    offset: 0.37,
    crooked: random.between(0.02, 0.08),
    seed: random.whole(0, 250),
  });
}

export function woodSiding(random: Random): Material {
  const base = random.chance(0.6)
    ? pickColour(random, PALE)
    : pickColour(random, { hue: [0, 1], saturation: [0.2, 0.6], value: [0.3, 0.65] });
  return courses({
    width: 4,
    height: 0.17,
    joint: 0.02,
    colours: [base, scale(base, 0.93)],
    jointColour: scale(base, 0.3),
    variety: 0.1,
    roughness: 0.08,
    grain: 12,
    offset: 1,
    seed: random.whole(0, 250),
  });
}

function wallOf(random: Random, kind: Kind): Material {
  const seed = random.between(0, 200);
  const choice = random.next();
  const painted = plaster(
    random.chance(0.5)
      ? pickColour(random, PALE)
      : pickColour(
          random,
          random.chance(0.8)
            ? { hue: [0.03, 0.15], saturation: [0.1, 0.45], value: [0.55, 0.92] }
            : { hue: [0, 1], saturation: [0.1, 0.5], value: [0.4, 0.85] },
        ),
    seed,
    random.between(0.2, 1),
  );
  if (kind === 'office')
    return concrete(scale([0.5, 0.49, 0.47], random.between(0.35, 1.2)), seed, random.between(1.2, 3));
  if (kind === 'block')
    return choice < 0.35
      ? brickWall(random)
      : choice < 0.65
        ? painted
        : concrete(scale([0.55, 0.52, 0.48], random.between(0.5, 1.15)), seed, 2.8);
  if (kind === 'town') return choice < 0.4 ? brickWall(random) : choice < 0.75 ? painted : stoneWall(random);
  return choice < 0.3
    ? brickWall(random)
    : choice < 0.55
      ? painted
      : choice < 0.75
        ? woodSiding(random)
        : stoneWall(random);
}

export function pickBuildingStyle(random: Random, kind: Kind, sun: Vector, lit: number): BuildingStyle {
  const wall = wallOf(random, kind);
  const floorHeight = kind === 'office' ? random.between(3.2, 3.8) : random.between(2.7, 3.3);
  const windows = windowStyle(random, kind, floorHeight);
  const style: FacadeStyle = { ...windows, wall, floorHeight, sun, lit, seed: random.whole(0, 9999) };
  const label = LABELS.building;
  const trim = { label, material: plaster(scale(style.surroundColour, 0.95), 3, 0.5) };
  const front = { label, material: facade(style) };
  const blind = random.chance(0.3)
    ? { label, material: wall }
    : { label, material: facade({ ...style, shops: false, spacing: style.spacing * 1.5 }) };
  return {
    front,
    side: kind === 'office' ? { label, material: facade({ ...style, shops: false }) } : blind,
    plain: { label, material: wall },
    trim,
    roof: { label, material: roofOf(random) },
    door: {
      label: LABELS.door,
      material: doorLeaf(
        pickColour(random, random.chance(0.5) ? WOODS : { hue: [0, 1], saturation: [0.3, 0.8], value: [0.2, 0.6] }),
      ),
    },
    roofKind:
      kind === 'house'
        ? random.pick(['gable', 'gable', 'hip'] as const)
        : kind === 'town'
          ? random.pick(['gable', 'hip', 'flat'] as const)
          : 'flat',
    floorHeight,
    balconies: kind === 'block' && random.chance(0.6),
    chimneys: kind === 'house' || kind === 'town',
    pitch: random.between(0.5, 1.1),
  };
}

function windowStyle(random: Random, kind: Kind, floorHeight: number) {
  const office = kind === 'office';
  const curtain = office && random.chance(0.6);
  const width = office ? random.between(1.1, 1.5) : random.between(0.8, 1.35);
  const height = curtain ? floorHeight - 0.5 : Math.min(floorHeight - 1, random.between(1.1, 1.9));
  const light = random.chance(0.65);
  return {
    spacing: curtain ? width + 0.1 : width + random.between(0.7, 2),
    width,
    height,
    sill: curtain ? 0.3 : Math.min(0.9, floorHeight - height - 0.25),
    frame: light ? ([0.72, 0.72, 0.69] as Vector) : scale([0.16, 0.12, 0.09], random.between(0.3, 1.2)),
    surround: office ? 0 : random.pick([0, 0.1, 0.14, 0.18]),
    surroundColour: scale([0.62, 0.59, 0.53], random.between(0.6, 1.2)),
    panes: office
      ? ([1, 1] as const)
      : random.pick([
          [2, 1],
          [2, 2],
          [2, 3],
          [1, 2],
          [3, 2],
        ] as const),
    recess: office ? 0.04 : random.between(0.08, 0.22),
    shutters:
      !office && random.chance(0.25)
        ? pickColour(random, { hue: [0.2, 0.65], saturation: [0.2, 0.6], value: [0.2, 0.55] })
        : undefined,
    arched: kind === 'town' && random.chance(0.2),
    shops: (kind === 'town' || kind === 'block') && random.chance(0.55),
    glass: scale([0.05, 0.06, 0.07], random.between(0.4, 1.8)),
  };
}

function roofOf(random: Random): Material {
  const seed = random.whole(0, 250);
  const curved = random.chance(0.6);
  const palette = curved
    ? { hue: [0.015, 0.06] as const, saturation: [0.35, 0.65] as const, value: [0.35, 0.7] as const }
    : { hue: [0.5, 0.75] as const, saturation: [0.02, 0.2] as const, value: [0.22, 0.45] as const };
  const base = pickColour(random, palette);
  return roofing([base, scale(base, 0.75), scale(base, 1.2), scale(base, 0.9)], seed, curved);
}

/** A door with panels, a knob and a worn foot. */
export function doorLeaf(colour: Vector): Material {
  return (hit) => {
    const { u, v, width, height, footprint } = hit;
    hit.red = colour[0];
    hit.green = colour[1];
    hit.blue = colour[2];
    const x = Math.abs(u - width / 2);
    const y = Math.abs(v - height * 0.5);
    const panel = x > width * 0.06 && x < width * 0.38 && y > height * 0.04 && y < height * 0.42;
    const rim = Math.min(
      Math.abs(x - width * 0.06),
      Math.abs(x - width * 0.38),
      Math.abs(y - height * 0.04),
      Math.abs(y - height * 0.42),
    );
    if (panel) {
      const near = Math.max(0, 1 - rim / Math.max(0.025, footprint));
      hit.red *= 0.9 - 0.4 * near;
      hit.green *= 0.9 - 0.4 * near;
      hit.blue *= 0.9 - 0.4 * near;
    }
    hit.gloss = 0.03;
    hit.dullness = 0.5;
    const [dx, dy] = [u - width * 0.9, v - height * 0.47];
    if (dx * dx + dy * dy < 0.0016) {
      [hit.red, hit.green, hit.blue, hit.gloss, hit.dullness] = [0.5, 0.4, 0.2, 0.5, 0.25];
    }
  };
}
