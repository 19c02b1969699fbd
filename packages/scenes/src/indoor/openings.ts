import { LABELS } from '../classes.ts';
import { pickCloth } from '../materials/cloth.ts';
import { curtainCloth } from '../materials/interior.ts';
import { pickBoard } from '../materials/wood.ts';
import { PALE, pickColour, WOODS } from '../maths/colour.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import type { Material } from '../render/hit.ts';
import { addCone, addPolygon, type Look, type Scene } from '../render/scene.ts';
import { addBox } from '../things/box.ts';
import { doorLeaf } from '../things/building-style.ts';
import { type Opening, RECESS, type Room, type Side } from './room.ts';

/** Windows and doors of a wall of a length, side by side. */
export function pickOpenings(
  random: Random,
  length: number,
  tall: number,
  kinds: readonly Opening['kind'][],
): Opening[] {
  const openings: Opening[] = [];
  for (const kind of kinds) {
    const wide = kind === 'door' ? random.between(0.8, 0.95) : random.between(0.8, Math.min(2.6, 0.45 * length));
    const top = kind === 'door' ? random.between(2, 2.1) : tall - random.between(0.2, 0.5);
    const bottom = kind === 'door' ? 0 : random.chance(0.2) ? 0.08 : random.between(0.7, 1);
    for (let i = 0; i < 10; i++) {
      const left = random.between(-length / 2 + 0.25, length / 2 - 0.25 - wide);
      const right = left + wide;
      if (left < -length / 2 + 0.2 || openings.some((other) => left < other.right + 0.3 && right > other.left - 0.3))
        continue;
      openings.push({ kind, left, right, bottom, top });
      break;
    }
  }
  return openings;
}

/** What all windows and doors of a room look like. */
export interface OpeningStyle {
  readonly frame: Look;
  readonly doorFrame: Look;
  readonly door: Look;
  readonly sill: Look;
  readonly glass: Look;
  readonly panes: readonly [across: number, up: number];
  readonly curtain: Look | undefined;
  /** How far curtains are drawn over the window, from 0 to 1. */
  readonly drawn: number;
  readonly long: boolean;
}

export function pickOpeningStyle(random: Random, glass: Material): OpeningStyle {
  const light = random.chance(0.75);
  const frame: Material = light
    ? (hit) => {
        [hit.red, hit.green, hit.blue] = [0.72, 0.72, 0.7];
      }
    : pickBoard(random);
  const look = { ...pickCloth(random, 0.12, 3), scale: random.between(2, 9) };
  const sheer = random.chance(0.3);
  const colour = sheer ? pickColour(random, PALE) : look.colour;
  const drape = curtainCloth({ ...look, colour, pattern: sheer ? 'plain' : look.pattern }, random.between(4, 9));
  const leaf = random.chance(0.5) ? scale([0.72, 0.71, 0.68], random.between(0.7, 1.1)) : pickColour(random, WOODS);
  return {
    frame: { label: LABELS.windowpane, material: frame },
    doorFrame: { label: LABELS.door, material: frame },
    door: { label: LABELS.door, material: doorLeaf(leaf) },
    sill: { label: LABELS.wall, material: frame },
    glass: { label: LABELS.windowpane, material: glass, castsShadow: false },
    panes: random.pick([
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 1],
      [2, 3],
    ] as const),
    curtain: random.chance(0.7) ? { label: LABELS.curtain, material: drape } : undefined,
    drawn: random.between(0.1, 0.5),
    long: random.chance(0.75),
  };
}

export function addOpenings(scene: Scene, random: Random, room: Room, style: OpeningStyle): void {
  for (const side of room.sides) {
    for (const opening of side.openings) {
      if (opening.kind === 'door') addDoor(scene, side, opening, style);
      else addWindow(scene, random, room, side, opening, style);
    }
  }
}

function addDoor(scene: Scene, side: Side, { left, right, top }: Opening, { door, doorFrame }: OpeningStyle): void {
  const { place } = side;
  const { at } = place;
  addPolygon(scene, [at(left, 0, 0.06), at(right, 0, 0.06), at(right, top, 0.06), at(left, top, 0.06)], door);
  addBox(scene, place, { from: [left - 0.08, 0, -0.02], to: [left + 0.02, top + 0.08, 0.07] }, doorFrame);
  addBox(scene, place, { from: [right - 0.02, 0, -0.02], to: [right + 0.08, top + 0.08, 0.07] }, doorFrame);
  addBox(scene, place, { from: [left, top - 0.02, -0.02], to: [right, top + 0.08, 0.07] }, doorFrame);
}

function addWindow(scene: Scene, random: Random, room: Room, side: Side, opening: Opening, style: OpeningStyle): void {
  const { left, right, bottom, top } = opening;
  const { place } = side;
  const z = RECESS;
  const pane = [place.at(left, bottom, z), place.at(right, bottom, z), place.at(right, top, z), place.at(left, top, z)];
  addPolygon(scene, pane, style.glass);
  const bar = (x0: number, x1: number, y0: number, y1: number, thick: number): void =>
    addBox(scene, place, { from: [x0, y0, z - thick], to: [x1, y1, z + 0.01] }, style.frame, { back: null });
  const rim = 0.05;
  bar(left, left + rim, bottom, top, 0.05);
  bar(right - rim, right, bottom, top, 0.05);
  bar(left, right, bottom, bottom + rim, 0.05);
  bar(left, right, top - rim, top, 0.05);
  const [across, up] = style.panes;
  for (let i = 1; i < across; i++) {
    const x = left + ((right - left) * i) / across;
    bar(x - 0.025, x + 0.025, bottom, top, 0.045);
  }
  for (let i = 1; i < up; i++) {
    const y = bottom + ((top - bottom) * i) / up;
    bar(left, right, y - 0.015, y + 0.015, 0.04);
  }
  addBox(scene, place, { from: [left - 0.06, bottom - 0.04, -0.1], to: [right + 0.06, bottom, 0.02] }, style.sill);
  if (style.curtain) addCurtains(scene, random, room, side, opening, style.curtain, style);
}

function addCurtains(
  scene: Scene,
  random: Random,
  { tall }: Room,
  { place, length, upper }: Side,
  { left, right, bottom, top }: Opening,
  look: Look,
  { drawn, long }: OpeningStyle,
): void {
  const rod = Math.min(tall - 0.06, top + 0.12);
  const foot = long || bottom < 0.3 ? 0.03 : bottom - 0.15;
  const from = Math.max(-length / 2 + 0.02, left - 0.3);
  const to = Math.min(length / 2 - 0.02, right + 0.3);
  const wide = (to - from) / 2;
  const reach = wide * (0.35 + 0.6 * drawn);
  for (const [x0, x1] of [
    [from, from + reach * random.between(0.8, 1.1)],
    [to - reach * random.between(0.8, 1.1), to],
  ]) {
    const corners: Vector[] = [
      place.at(x0, foot, -0.13),
      place.at(x1, foot, -0.13),
      place.at(x1, rod, -0.1),
      place.at(x0, rod, -0.1),
    ];
    addPolygon(scene, corners, look, random.next());
  }
  upper.push([from - 0.1, to + 0.1]);
  addCone(scene, place.at(from - 0.08, rod, -0.11), place.at(to + 0.08, rod, -0.11), [0.014, 0.014], look);
}
