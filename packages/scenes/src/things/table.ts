import { IGNORED, LABELS } from '../classes.ts';
import { soft } from '../materials/cloth.ts';
import { pickBoard } from '../materials/wood.ts';
import { cosine, sine, TURN } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { scale } from '../maths/vector.ts';
import { addCone, addEllipsoid, addPolygon, type Look, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

export interface TableSize {
  readonly width: number;
  readonly depth: number;
  readonly tall: number;
  readonly round: boolean;
}

/** Adds a table with its middle over the place. */
export function addTable(scene: Scene, random: Random, place: Placement, size: TableSize): void {
  const { width, depth, tall, round } = size;
  const look = { label: LABELS.table, material: pickBoard(random) };
  const legs = random.chance(0.7) ? look : { label: LABELS.table, material: pickBoard(random) };
  const [x, z] = [width / 2, depth / 2];
  if (round) addRoundTable(scene, place, x, tall, look, legs);
  else {
    const [inX, inZ] = [x - 0.07, z - 0.07];
    addBox(scene, place, { from: [-x, tall - 0.035, -z], to: [x, tall, z] }, look);
    addBox(scene, place, { from: [-inX, tall - 0.11, -inZ], to: [inX, tall - 0.035, inZ] }, legs, { top: null });
    const half = random.between(0.02, 0.04);
    for (const legX of [-inX, inX]) {
      for (const legZ of [-inZ, inZ]) {
        const from = [legX - half, 0, legZ - half] as const;
        addBox(scene, place, { from, to: [legX + half, tall - 0.1, legZ + half] }, legs, { top: null, bottom: null });
      }
    }
  }
  addClutter(scene, random, place, { x: x * 0.7, z: z * 0.7, y: tall }, random.whole(0, 4));
}

const SIDES = 20;

function addRoundTable(scene: Scene, place: Placement, radius: number, tall: number, top: Look, leg: Look): void {
  const rim = Array.from({ length: SIDES }, (_, i) => {
    const angle = (TURN * i) / SIDES;
    return [radius * cosine(angle), radius * sine(angle)] as const;
  });
  addPolygon(
    scene,
    rim.map(([x, z]) => place.at(x, tall, z)),
    top,
  );
  rim.forEach(([x, z], i) => {
    const [nextX, nextZ] = rim[(i + 1) % SIDES];
    const low = tall - 0.035;
    const corners = [place.at(x, low, z), place.at(nextX, low, nextZ), place.at(nextX, tall, nextZ)];
    addPolygon(scene, [...corners, place.at(x, tall, z)], top);
  });
  addCone(scene, place.at(0, 0.03, 0), place.at(0, tall - 0.03, 0), [0.06, 0.045], leg);
  addEllipsoid(
    scene,
    place.at(0, 0.02, 0),
    [
      [0.5 * radius, 0, 0],
      [0, 0.04, 0],
      [0, 0, 0.5 * radius],
    ],
    leg,
  );
}

/** Small things that stand about, of no class: vases, cups, books. */
export function addClutter(
  scene: Scene,
  random: Random,
  place: Placement,
  within: { x: number; z: number; y: number },
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    const [x, z, y] = [random.between(-1, 1) * within.x, random.between(-1, 1) * within.z, within.y];
    const colour = colourOf(random.next(), random.between(0, 0.8), random.between(0.15, 0.9));
    const look = { label: IGNORED, material: soft(colour, 12, random.between(0.01, 0.08)) };
    const kind = random.next();
    if (kind < 0.4) {
      const tall = random.between(0.05, 0.1);
      for (let book = random.whole(1, 4), base = y; book > 0; book--, base += tall * 0.4) {
        const [a, b] = [random.between(0.07, 0.1), random.between(0.1, 0.13)];
        const paper = { label: IGNORED, material: soft(scale(colour, random.between(0.4, 1.6)), 30) };
        addBox(scene, place, { from: [x - a, base, z - b], to: [x + a, base + tall * 0.4, z + b] }, paper);
      }
    } else {
      const [wide, tall] = kind < 0.7 ? [0.04, 0.09] : [random.between(0.05, 0.09), random.between(0.15, 0.3)];
      addCone(scene, place.at(x, y, z), place.at(x, y + tall, z), [wide, wide * random.between(0.5, 1.2)], look);
    }
  }
}
