import { clamp } from '../maths/arithmetic.ts';
import type { Random } from '../maths/random.ts';

/** A strip of ground: a road, a footpath. Its middle is a gentle curve, along z, or along x where it goes `across`. */
export interface Path {
  readonly kind: 'road' | 'footpath';
  readonly across: boolean;
  readonly offset: number;
  readonly slope: number;
  readonly bend: number;
  /** Half the width of what is driven or walked on. */
  readonly half: number;
  /** From the middle to the outer edge of the sidewalk; the same as `half` without one. */
  readonly walk: number;
}

function middle({ offset, slope, bend }: Path, along: number): number {
  const at = clamp(along, -60, 150);
  return offset + slope * along + bend * at * at;
}

function steepness({ slope, bend }: Path, along: number): number {
  return slope + 2 * bend * clamp(along, -60, 150);
}

/** How far to the right of the path's middle a place is (further away, for one that goes across). */
export function lateral(path: Path, x: number, z: number): number {
  const [side, along] = path.across ? [z, x] : [x, z];
  const lean = steepness(path, along);
  return (side - middle(path, along)) / Math.sqrt(1 + lean * lean);
}

export interface PathPoint {
  readonly x: number;
  readonly z: number;
  /** Unit direction along the path. */
  readonly dx: number;
  readonly dz: number;
}

/** The place `side` metres beside the middle. */
export function pathPoint(path: Path, along: number, side: number): PathPoint {
  const lean = steepness(path, along);
  const size = Math.sqrt(1 + lean * lean);
  const [p, q] = [along - (side * lean) / size, middle(path, along) + side / size];
  return path.across ? { x: p, z: q, dx: 1 / size, dz: lean / size } : { x: q, z: p, dx: lean / size, dz: 1 / size };
}

export function roadAlong(random: Random, offset: number): Path {
  const half = random.between(2.6, 5.2);
  const bend = random.chance(0.45) ? random.between(-0.0016, 0.0016) : 0;
  const walk = half + random.between(1.6, 4);
  return { kind: 'road', across: false, offset, slope: random.between(-0.12, 0.12), bend, half, walk };
}

export function roadAcross(random: Random, offset: number): Path {
  const half = random.between(2.6, 4.5);
  const walk = half + random.between(1.5, 3.2);
  return {
    kind: 'road',
    across: true,
    offset,
    slope: random.between(-0.15, 0.15),
    bend: random.between(-0.0015, 0.0015),
    half,
    walk,
  };
}

export function withoutWalk(path: Path): Path {
  return { ...path, walk: path.half };
}

export function footpath(random: Random, offset: number): Path {
  const half = random.between(0.7, 1.8);
  return {
    kind: 'footpath',
    across: false,
    offset,
    slope: random.between(-0.25, 0.25),
    bend: random.between(-0.004, 0.004),
    half,
    walk: half,
  };
}
