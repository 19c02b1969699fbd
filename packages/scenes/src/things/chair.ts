import { LABELS } from '../classes.ts';
import { cloth, pickCloth } from '../materials/cloth.ts';
import { pickBoard } from '../materials/wood.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { addCone, type Look, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

/** How a set of chairs looks. */
export interface ChairStyle {
  readonly frame: Look;
  readonly seat: Look;
  readonly back: 'slats' | 'bars' | 'panel';
  readonly tall: number;
}

export function pickChairStyle(random: Random): ChairStyle {
  const frame = { label: LABELS.chair, material: pickBoard(random) };
  const padded = random.chance(0.5);
  return {
    frame,
    seat: padded ? { label: LABELS.chair, material: cloth(pickCloth(random, 0.1, 4)) } : frame,
    back: random.pick(['slats', 'bars', 'panel'] as const),
    tall: random.between(0.82, 1.02),
  };
}

const SEAT = 0.46;
const HALF = 0.21;

/** Adds a chair with its seat's middle over the place; who sits on it looks to the place's front. */
export function addChair(scene: Scene, place: Placement, { frame, seat, back, tall }: ChairStyle): void {
  for (const x of [-HALF + 0.02, HALF - 0.02]) {
    addCone(scene, place.at(x, 0, -HALF + 0.02), place.at(x, SEAT - 0.03, -HALF + 0.03), [0.017, 0.021], frame);
    addCone(scene, place.at(x, 0, HALF + 0.02), place.at(x, SEAT, HALF - 0.02), [0.017, 0.021], frame);
    addCone(scene, place.at(x, SEAT, HALF - 0.02), place.at(x, tall, HALF + 0.06), [0.021, 0.017], frame);
  }
  addBox(scene, place, { from: [-HALF, SEAT - 0.045, -HALF], to: [HALF, SEAT, HALF] }, seat);
  // Backs lean: they are laid between the two rear posts.
  const behind = (y: number): number => HALF - 0.02 + (0.08 * (y - SEAT)) / (tall - SEAT);
  const across = (from: number, to: number, look: Look): void => {
    const [low, high]: [Vector, Vector] = [
      [-HALF + 0.02, from, behind(from) - 0.012],
      [HALF - 0.02, to, behind(to) + 0.012],
    ];
    addBox(scene, place, { from: low, to: high }, look);
  };
  if (back === 'panel') across(SEAT + 0.14, tall, seat);
  else if (back === 'slats') {
    for (let i = 0; i < 3; i++) across(tall - 0.07 - 0.13 * i, tall - 0.01 - 0.13 * i, frame);
  } else {
    across(tall - 0.07, tall, frame);
    for (let i = 1; i < 5; i++) {
      const x = -HALF + 0.02 + (i / 5) * (2 * HALF - 0.04);
      addCone(scene, place.at(x, SEAT, behind(SEAT)), place.at(x, tall - 0.05, behind(tall)), [0.009, 0.009], frame);
    }
  }
}
