import { cosine, sine, TURN } from '../maths/arithmetic.ts';
import { createRandom, type Random } from '../maths/random.ts';
import { MASK_SIDE } from './target.ts';

/** What a cut-out may be cut to, and how many masks there are of each. */
export const MASKS = {
  broadleaf: { first: 0, count: 4 },
  smallLeaf: { first: 4, count: 4 },
  needles: { first: 8, count: 3 },
  blades: { first: 11, count: 4 },
  frond: { first: 15, count: 2 },
  bloom: { first: 17, count: 2 },
  singleLeaf: { first: 19, count: 1 },
} as const;

export type MaskKind = keyof typeof MASKS;

/** A mask's number for a kind. */
export function pickMask(random: Random, kind: MaskKind): number {
  return MASKS[kind].first + Math.floor(random.next() * MASKS[kind].count);
}

let masks: Uint8Array[] | undefined;

/** Every mask, row by row: 0 where there is nothing, else which leaf is there, from 1 to 255. Made once. */
export function cutoutMasks(): readonly Uint8Array[] {
  if (masks) return masks;
  const random = createRandom(7, 'masks');
  const draw: Record<MaskKind, (mask: Uint8Array) => void> = {
    broadleaf: (mask) => drawSprig(mask, random, { leaves: 16, long: 0.42, wide: 0.17, spread: 0.62 }),
    smallLeaf: (mask) => drawSprig(mask, random, { leaves: 34, long: 0.22, wide: 0.1, spread: 0.8 }),
    needles: (mask) => drawNeedles(mask, random),
    blades: (mask) => drawBlades(mask, random),
    frond: (mask) => drawFrond(mask),
    bloom: (mask) => drawSprig(mask, random, { leaves: 22, long: 0.2, wide: 0.18, spread: 0.75 }),
    singleLeaf: (mask) => drawLeaf(mask, { x: 0, y: -1, angle: TURN / 4, long: 2, wide: 0.62, value: 200 }),
  };
  masks = Object.entries(MASKS).flatMap(([kind, { count }]) =>
    Array.from({ length: count }, () => {
      const mask = new Uint8Array(MASK_SIDE * MASK_SIDE);
      draw[kind as MaskKind](mask);
      return mask;
    }),
  );
  return masks;
}

interface Leaf {
  /** Where it begins, from -1 to 1. */
  readonly x: number;
  readonly y: number;
  readonly angle: number;
  readonly long: number;
  readonly wide: number;
  readonly value: number;
}

/** A leaf pointed at both ends. */
function drawLeaf(mask: Uint8Array, { x, y, angle, long, wide, value }: Leaf): void {
  const [c, s] = [cosine(angle), sine(angle)];
  for (let row = 0; row < MASK_SIDE; row++) {
    for (let column = 0; column < MASK_SIDE; column++) {
      const dx = (column + 0.5) / (MASK_SIDE / 2) - 1 - x;
      const dy = (row + 0.5) / (MASK_SIDE / 2) - 1 - y;
      const along = (dx * c + dy * s) / long;
      if (along < 0 || along > 1) continue;
      const half = wide * 4 * along * (1 - along) * (1.15 - 0.3 * along);
      const across = dy * c - dx * s;
      // The two halves of a leaf are lit unlike each other.
      if (Math.abs(across) < half / 2) mask[row * MASK_SIDE + column] = across < 0 ? value : Math.max(1, value - 28);
    }
  }
}

function drawSprig(
  mask: Uint8Array,
  random: Random,
  sprig: { leaves: number; long: number; wide: number; spread: number },
) {
  for (let i = 0; i < sprig.leaves; i++) {
    const angle = random.between(0, TURN);
    const away = sprig.spread * Math.sqrt(random.next());
    const turn = random.between(0, TURN);
    const long = sprig.long * random.between(0.7, 1.25);
    const [x, y] = [away * cosine(turn) - (long / 2) * cosine(angle), away * sine(turn) - (long / 2) * sine(angle)];
    drawLeaf(mask, { x, y, angle, long, wide: sprig.wide * random.between(0.8, 1.2), value: random.whole(30, 255) });
  }
}

function drawNeedles(mask: Uint8Array, random: Random): void {
  for (let i = 0; i < 110; i++) {
    const along = random.between(-0.95, 0.75);
    const angle = random.between(-0.9, 0.9) + (random.chance(0.5) ? 0.6 : -0.6);
    const long = random.between(0.3, 0.62) * (1.1 - 0.5 * Math.abs(along));
    drawLeaf(mask, { x: along, y: random.between(-0.1, 0.1), angle, long, wide: 0.075, value: random.whole(40, 255) });
  }
}

function drawBlades(mask: Uint8Array, random: Random): void {
  for (let i = 0; i < 26; i++) {
    const x = random.between(-0.8, 0.8);
    const angle = TURN / 4 + random.between(-0.45, 0.45) - x * 0.35;
    drawLeaf(mask, { x, y: -1.05, angle, long: random.between(0.8, 1.9), wide: 0.07, value: random.whole(40, 255) });
  }
}

function drawFrond(mask: Uint8Array): void {
  for (let i = 0; i < 36; i++) {
    const along = i / 36;
    const angle = (i % 2 === 0 ? 1 : -1) * (1.15 - 0.6 * along);
    const long = 1.3 * (along + 0.25) * (1.15 - along);
    drawLeaf(mask, { x: -1 + 1.8 * along, y: 0, angle, long, wide: 0.1, value: 90 + ((i * 53) % 160) });
  }
  drawLeaf(mask, { x: -1, y: 0, angle: 0, long: 2, wide: 0.05, value: 200 });
}
