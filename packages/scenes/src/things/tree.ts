import { clamp, cosine, mix, sine, TURN } from '../maths/arithmetic.ts';
import { noise } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { add, length, scale, squareTo, unit, type Vector } from '../maths/vector.ts';
import { pickMask } from '../render/masks.ts';
import { addCone, addCutout, type Look, type Scene } from '../render/scene.ts';
import type { Species } from './species.ts';

export interface TreePlace {
  readonly x: number;
  readonly z: number;
  readonly height: number;
  /** How far it is from the eye: what is far away has fewer, larger leaves. */
  readonly distance: number;
}

interface Crown {
  readonly centre: Vector;
  readonly wide: number;
  readonly tall: number;
  /** Half the side of a cut-out. */
  readonly leaf: number;
}

const MOST_LEAVES = 5000;

export function addTree(scene: Scene, random: Random, species: Species, tree: TreePlace): void {
  const { x, z, height, distance } = tree;
  const leaf = Math.max(0.14, distance * 0.009);
  if (species.habit === 'conifer') {
    addConifer(scene, random, species, tree, leaf);
    return;
  }
  const tall = (height * (1 - species.stem)) / 2;
  const crown = { centre: [x, height - tall, z] as Vector, wide: (height * species.girth) / 2, tall, leaf };
  const trunk = height * mix(0.022, 0.035, random.next());
  if (species.habit === 'bare') {
    const depth = distance > 60 ? 4 : 5;
    addBranch(scene, random, species.bark, {
      from: [x, 0, z],
      direction: [0, 1, 0],
      long: height * 0.3,
      radius: trunk,
      depth,
      spread: species.girth,
    });
    return;
  }
  addWood(scene, random, species, crown, trunk);
  addCrown(scene, random, species, crown);
}

/** A trunk that leans a little, and the limbs that show in the crown's gaps. */
function addWood(scene: Scene, random: Random, { bark, stem }: Species, crown: Crown, radius: number): void {
  const [x, , z] = crown.centre;
  const top = crown.centre[1] + 0.3 * crown.tall;
  const lean: Vector = [random.between(-0.06, 0.06), 0, random.between(-0.06, 0.06)];
  let from: Vector = [x, -0.05, z];
  const fork = top * clamp(stem + 0.1, 0.15, 0.5);
  for (const [i, y] of [0.1 * fork, 0.5 * fork, fork, (fork + top) / 2, top].entries()) {
    const to: Vector = [x + lean[0] * y + random.between(-0.03, 0.03) * y, y, z + lean[2] * y];
    // Roots spread at the foot.
    const widths = [1.45, 1, 0.9, 0.75, 0.5, 0.15].map((share) => share * radius);
    addCone(scene, from, to, [widths[i], widths[i + 1]], bark);
    from = to;
  }
  const limbs = 5 + random.whole(0, 3);
  for (let i = 0; i < limbs; i++) {
    const angle = (TURN * (i + random.next())) / limbs;
    const start = mix(fork, top, random.between(0, 0.6));
    const out = crown.wide * random.between(0.5, 0.85);
    const root: Vector = [x + lean[0] * start, start, z + lean[2] * start];
    const middle: Vector = [x + out * 0.45 * cosine(angle), start + out * 0.45, z + out * 0.45 * sine(angle)];
    const tip: Vector = [x + out * cosine(angle), start + out * random.between(0.5, 1), z + out * sine(angle)];
    addCone(scene, root, middle, [0.5 * radius, 0.3 * radius], bark);
    addCone(scene, middle, tip, [0.3 * radius, 0.08 * radius], bark);
  }
}

/** Clumps of leaves over the crown's body. */
function addCrown(scene: Scene, random: Random, species: Species, crown: Crown): void {
  const { wide, tall, leaf } = crown;
  const area = wide * (wide + 2 * tall) * 4.2;
  const wanted = Math.min(MOST_LEAVES, (species.density * area * 1.5) / (leaf * leaf * 1.4));
  const clumps = Math.round(clamp(14 * species.density * Math.sqrt(area / 40), 12, 60));
  const seed = random.between(0, 100);
  for (let i = 0; i < clumps; i++) {
    const direction = anyDirection(random);
    const lumpy = 0.78 + 0.3 * noise(direction[0] * 1.7 + seed, direction[1] * 1.7 + direction[2]);
    const away = lumpy * (0.35 + 0.65 * Math.sqrt(Math.sqrt(random.next())));
    const flatter = direction[1] < 0 ? 0.75 : 1;
    const offset: Vector = [
      direction[0] * wide * away,
      direction[1] * tall * away * flatter,
      direction[2] * wide * away,
    ];
    const size = Math.min(wide, tall) * random.between(0.26, 0.46);
    addClump(scene, random, species, crown, offset, size, Math.ceil(wanted / clumps));
  }
}

function addClump(
  scene: Scene,
  random: Random,
  species: Species,
  crown: Crown,
  offset: Vector,
  size: number,
  count: number,
): void {
  const { centre, wide, tall, leaf } = crown;
  const hue = random.next();
  addCore(scene, random, species, add(centre, offset), size);
  const hanging = species.habit === 'weeping' ? 1.6 : 0;
  for (let i = 0; i < count; i++) {
    const direction = anyDirection(random);
    const away = size * Math.sqrt(Math.sqrt(random.next()));
    const drop = hanging * random.next() * random.next() * tall * 0.5;
    const local: Vector = [direction[0] * away, direction[1] * away * 0.8 - drop, direction[2] * away];
    const from = add(offset, local);
    const outward: Vector = [from[0] / wide, from[1] / tall, from[2] / wide];
    const depth = length(outward);
    const normal = unit(add(add(scale(outward, 0.8), scale(direction, 0.75)), [0, 0.25, 0]));
    const open = mix(0.3, 1, clamp(depth * depth, 0, 1)) * mix(0.5, 1, clamp(0.55 + 0.6 * direction[1], 0, 1));
    const tint = clamp(0.6 * hue + 0.4 * random.next(), 0, 1);
    addLeaf(scene, random, species, {
      centre: add(centre, from),
      facing: add(normal, anyDirection(random)),
      normal,
      open,
      tint,
      leaf,
    });
  }
}

/** The dark within a clump: few large cut-outs, so that not every gap shows the sky. */
function addCore(scene: Scene, random: Random, species: Species, centre: Vector, size: number): void {
  for (let i = Math.round(3 * species.density); i > 0; i--) {
    const spot = add(centre, scale(anyDirection(random), size * 0.25));
    const normal = unit(add(anyDirection(random), [0, 0.4, 0]));
    addLeaf(scene, random, species, {
      centre: spot,
      facing: anyDirection(random),
      normal,
      open: 0.35,
      tint: 0.15 * random.next(),
      leaf: size * 0.62,
    });
  }
}

interface LeafPlace {
  readonly centre: Vector;
  readonly facing: Vector;
  readonly normal: Vector;
  readonly open: number;
  readonly tint: number;
  readonly leaf: number;
}

function addLeaf(
  scene: Scene,
  random: Random,
  species: Species,
  { centre, facing, normal, open, tint, leaf }: LeafPlace,
): void {
  if (centre[1] < 0.02) return;
  const [a, b] = squareTo(unit(facing));
  const angle = random.between(0, TURN);
  const half = leaf * random.between(0.75, 1.3);
  const u = add(scale(a, half * cosine(angle)), scale(b, half * sine(angle)));
  const v = add(scale(a, -half * sine(angle)), scale(b, half * cosine(angle)));
  addCutout(scene, { centre, u, v, normal, tint, open, look: species.leaf, mask: pickMask(random, species.mask) });
}

/** Whorls of branches, wide below and narrow above. */
function addConifer(scene: Scene, random: Random, species: Species, { x, z, height }: TreePlace, leaf: number): void {
  const { bark, girth, stem, density } = species;
  addCone(scene, [x, -0.05, z], [x, height * 0.97, z], [height * 0.022, 0.01], bark);
  const base = height * stem;
  const whorls = Math.round(clamp((height - base) / (leaf * 1.5), 8, 34));
  for (let whorl = 0; whorl < whorls; whorl++) {
    const share = whorl / whorls;
    const y = base + (height - base) * share;
    const reach = height * girth * 0.5 * (1 - share) * random.between(0.8, 1.15) + 0.1;
    const branches = Math.round(clamp((reach * TURN * 0.7 * density) / leaf, 4, 20));
    for (let i = 0; i < branches; i++) {
      const angle = (TURN * (i + random.next())) / branches + whorl * 2.4;
      addNeedles(scene, random, species, { x, y, z, angle, reach: reach * random.between(0.75, 1.1), leaf });
    }
  }
  addLeaf(scene, random, species, {
    centre: [x, height, z],
    facing: [0, 0.2, -1],
    normal: [0, 1, 0],
    open: 1,
    tint: 0.6,
    leaf,
  });
}

interface ConiferBranch {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly angle: number;
  readonly reach: number;
  readonly leaf: number;
}

function addNeedles(
  scene: Scene,
  random: Random,
  species: Species,
  { x, y, z, angle, reach, leaf }: ConiferBranch,
): void {
  const outward: Vector = [cosine(angle), 0, sine(angle)];
  const sideways: Vector = [-outward[2], 0, outward[0]];
  const count = Math.max(1, Math.round(reach / (leaf * 1.25)));
  const hue = random.next();
  for (let i = 0; i < count; i++) {
    const share = (i + random.between(0.4, 1)) / count;
    const away = share * reach;
    const sag = 0.34 * away - 0.1 * away * share;
    const centre: Vector = [x + outward[0] * away, y - sag + random.between(-0.3, 0.3) * leaf, z + outward[2] * away];
    const u = scale(unit(add(outward, [random.between(-0.3, 0.3), -0.35, random.between(-0.3, 0.3)])), leaf * 1.35);
    const roll = random.between(-0.7, 0.7);
    const v = scale(unit(add(sideways, [0, roll, 0])), leaf * 1.15);
    const normal = unit(add(scale(outward, 0.9), [0, 0.75, 0]));
    const open = mix(0.25, 1, share) * random.between(0.75, 1);
    if (centre[1] < 0.03) continue;
    addCutout(scene, {
      centre,
      u,
      v,
      normal,
      tint: 0.5 * hue + 0.5 * share,
      open,
      look: species.leaf,
      mask: pickMask(random, 'needles'),
    });
  }
}

interface Branch {
  readonly from: Vector;
  readonly direction: Vector;
  readonly long: number;
  readonly radius: number;
  readonly depth: number;
  readonly spread: number;
}

function addBranch(
  scene: Scene,
  random: Random,
  bark: Look,
  { from, direction, long, radius, depth, spread }: Branch,
): void {
  const bend = scale(anyDirection(random), 0.12);
  const middle = add(from, scale(unit(add(direction, bend)), long * 0.5));
  const to = add(middle, scale(unit(add(direction, scale(bend, -0.6))), long * 0.5));
  addCone(scene, from, middle, [radius, radius * 0.82], bark);
  addCone(scene, middle, to, [radius * 0.82, radius * 0.66], bark);
  if (depth === 0) return;
  const forks = depth > 3 ? random.whole(3, 4) : random.whole(2, 3);
  for (let i = 0; i < forks; i++) {
    const [a, b] = squareTo(direction);
    const angle = (TURN * (i + random.between(-0.3, 0.3))) / forks + depth;
    const away = random.between(0.35, 0.75) * spread;
    const side = add(scale(a, away * cosine(angle)), scale(b, away * sine(angle)));
    const next = unit(add(add(direction, side), [0, 0.12, 0]));
    addBranch(scene, random, bark, {
      from: to,
      direction: next,
      long: long * random.between(0.62, 0.86),
      radius: radius * 0.62,
      depth: depth - 1,
      spread,
    });
  }
}

/** Every direction alike. */
export function anyDirection(random: Random): Vector {
  const y = random.between(-1, 1);
  const angle = random.between(0, TURN);
  const flat = Math.sqrt(1 - y * y);
  return [flat * cosine(angle), y, flat * sine(angle)];
}
