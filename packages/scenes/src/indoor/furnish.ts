import { cosine, sine } from '../maths/arithmetic.ts';
import { type Placement, place } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import type { Scene } from '../render/scene.ts';
import { addBed, BED_LENGTH } from '../things/bed.ts';
import { addCabinet, pickCabinetStyle } from '../things/cabinet.ts';
import { addChair, pickChairStyle } from '../things/chair.ts';
import { addHangingLamp, addStandingLamp } from '../things/lamp.ts';
import { addPerson } from '../things/person.ts';
import { addPainting } from '../things/picture.ts';
import { addPottedPlant } from '../things/potted-plant.ts';
import { addSofa, SOFA_DEPTH } from '../things/sofa.ts';
import { addClutter, addTable } from '../things/table.ts';
import { findStretch, type Room, type Side } from './room.ts';

export type RoomKind = 'living' | 'dining' | 'bedroom' | 'kitchen' | 'study' | 'hall';

export interface Lamp {
  readonly at: Vector;
  readonly strength: number;
}

/** Everything that furnishing needs at hand. */
interface Furnishing {
  readonly scene: Scene;
  readonly random: Random;
  readonly room: Room;
  readonly lamps: Lamp[];
  /** How bright lamps are; 0 when they are off. */
  readonly lit: number;
  /** Places on the floor that are taken: x, z and how far around. */
  readonly taken: [x: number, z: number, around: number][];
}

/** Fills a room. @returns the lamps that are lit */
export function furnish(scene: Scene, random: Random, room: Room, kind: RoomKind, lit: number): Lamp[] {
  const f: Furnishing = { scene, random, room, lamps: [], lit, taken: [] };
  const build: Record<RoomKind, () => void> = {
    living: () => living(f),
    dining: () => dining(f),
    bedroom: () => bedroom(f),
    kitchen: () => kitchen(f),
    study: () => study(f),
    hall: () => hall(f),
  };
  build[kind]();
  hangLamps(f);
  for (let i = random.whole(0, 3); i > 0; i--) hangPainting(f);
  if (random.chance(0.5)) standPlant(f);
  if (random.chance(0.3)) standPerson(f);
  return f.lamps;
}

function anySide({ random, room }: Furnishing): Side {
  return random.chance(0.5) ? room.sides[0] : random.pick([room.sides[1], room.sides[2]]);
}

/** Where a thing stands with its back to a wall, and takes its stretch of it; undefined where it finds no room. */
function againstWall(
  f: Furnishing,
  side: Side,
  size: { width: number; depth: number; tall: number },
): Placement | undefined {
  const { random, taken } = f;
  const at = findStretch(side, size.width, { tall: size.tall > 1, near: random.between });
  if (at === undefined) return undefined;
  const [x, , z] = side.place.at(at, 0, -size.depth / 2 - 0.04);
  const around = Math.max(size.width, size.depth) / 2;
  // Nothing hides the view, and two walls' things do not meet in a corner.
  if (z < (size.tall > 1.2 ? 2.2 : 1.4)) return undefined;
  if (taken.some(([a, b, c]) => (a - x) * (a - x) + (b - z) * (b - z) < (c + around) * (c + around) * 0.72)) {
    return undefined;
  }
  side.floor.push([at - size.width / 2, at + size.width / 2]);
  if (size.tall > 0.9) side.upper.push([at - size.width / 2, at + size.width / 2]);
  taken.push([x, z, around]);
  return place([x, 0, z], side.place.yaw);
}

/** A place away from the walls, or undefined. */
function inTheMiddle({ random, room, taken }: Furnishing, around: number): Vector | undefined {
  for (let i = 0; i < 12; i++) {
    const x = random.between(-1, 1) * Math.max(0, room.width / 2 - around - 0.2);
    const z = random.between(Math.min(2.3, room.depth - around - 0.3), Math.max(2.4, room.depth - around - 0.3));
    if (taken.some(([a, b, c]) => (a - x) * (a - x) + (b - z) * (b - z) < (c + around) * (c + around) * 0.8)) continue;
    taken.push([x, z, around]);
    return [x, 0, z];
  }
  return undefined;
}

function living(f: Furnishing): void {
  const { scene, random } = f;
  const width = random.between(1.5, 2.5);
  const spot = againstWall(f, anySide(f), { width, depth: SOFA_DEPTH, tall: 0.85 });
  if (spot) {
    addSofa(scene, random, spot, width);
    const before = spot.at(random.between(-0.2, 0.2), 0, -1.15);
    if (before[2] > 1.6) {
      f.taken.push([before[0], before[2], 0.5]);
      const size = {
        width: random.between(0.8, 1.2),
        depth: 0.6,
        tall: random.between(0.4, 0.48),
        round: random.chance(0.3),
      };
      addTable(scene, random, place(before, spot.yaw), size);
    }
  }
  const armchair = againstWall(f, anySide(f), { width: 1, depth: SOFA_DEPTH, tall: 0.85 });
  if (armchair && random.chance(0.6)) addSofa(scene, random, armchair, 0.95);
  chest(f);
  if (random.chance(0.5)) standLamp(f);
}

function dining(f: Furnishing): void {
  tableWithChairs(f);
  chest(f);
  if (f.random.chance(0.4)) chest(f);
}

function tableWithChairs(f: Furnishing): void {
  const { scene, random } = f;
  const round = random.chance(0.3);
  const width = round ? random.between(0.9, 1.3) : random.between(1.1, 2);
  const depth = round ? width : random.between(0.75, 0.95);
  const spot = inTheMiddle(f, Math.max(width, depth) / 2 + 0.35);
  if (!spot) return;
  const yaw = random.chance(0.6) ? random.between(-0.15, 0.15) : random.between(-1.6, 1.6);
  const table = place(spot, yaw);
  addTable(scene, random, table, { width, depth, tall: random.between(0.72, 0.77), round });
  const style = pickChairStyle(random);
  const out = (): number => random.between(0.02, 0.3);
  const seat = (x: number, z: number, turn: number): void => {
    if (random.chance(0.12)) return;
    const [a, , b] = table.at(x, 0, z);
    addChair(scene, place([a, 0, b], yaw + turn + random.between(-0.25, 0.25)), style);
  };
  const along = round || width < 1.4 ? 1 : 2;
  for (let i = 0; i < along; i++) {
    const x = ((i + 0.5) / along - 0.5) * width;
    seat(x, -depth / 2 - out(), Math.PI);
    seat(x, depth / 2 + out(), 0);
  }
  if (random.chance(0.6)) seat(-width / 2 - out(), 0, -Math.PI / 2);
  if (random.chance(0.6)) seat(width / 2 + out(), 0, Math.PI / 2);
  if (random.chance(0.6)) pendant(f, [spot[0], f.room.tall, spot[2]], f.room.tall - random.between(1.5, 1.8));
}

function bedroom(f: Furnishing): void {
  const { scene, random, room } = f;
  const width = random.pick([0.95, 1.4, 1.7]);
  for (const side of [anySide(f), room.sides[0], room.sides[1], room.sides[2]]) {
    const spot = againstWall(f, side, { width: width + 0.1, depth: BED_LENGTH, tall: 0.9 });
    if (!spot) continue;
    addBed(scene, random, spot, width);
    bedside(f, side, spot, width);
    break;
  }
  chest(f);
  if (random.chance(0.6)) chest(f);
}

function bedside(f: Furnishing, side: Side, bed: Placement, width: number): void {
  const { scene, random, lit } = f;
  const style = pickCabinetStyle(random);
  for (const across of [-1, 1]) {
    if (random.chance(0.3)) continue;
    const [x, , z] = bed.at(across * (width / 2 + 0.32), 0, BED_LENGTH / 2 - 0.2);
    const size = { width: 0.45, depth: 0.38, tall: random.between(0.45, 0.58), base: 0 };
    if (Math.abs(x) > f.room.width / 2 - 0.2 || z > f.room.depth - 0.15 || z < 1) continue;
    const spot = place([x, 0, z], side.place.yaw);
    addCabinet(scene, spot, size, style);
    const top = place([x, size.tall, z], side.place.yaw);
    if (random.chance(0.7)) light(f, addStandingLamp(scene, random, top, random.between(0.35, 0.5), lit), 0.25);
    else addClutter(scene, random, spot, { x: 0.15, z: 0.12, y: size.tall }, 2);
  }
}

function kitchen(f: Furnishing): void {
  const { scene, random, room } = f;
  const style = pickCabinetStyle(random);
  for (const side of [room.sides[0], random.pick([room.sides[1], room.sides[2]])]) {
    for (const width of [2.4, 1.6, 1]) {
      const spot = againstWall(f, side, { width, depth: 0.6, tall: 0.9 });
      if (!spot) continue;
      addCabinet(scene, spot, { width, depth: 0.6, tall: 0.9, base: 0 }, style);
      addClutter(scene, random, spot, { x: width * 0.45, z: 0.2, y: 0.9 }, random.whole(1, 5));
      const clear = side.openings.every(({ left, right }) => {
        const [a] = side.place.at(0, 0, 0);
        const at = side === room.sides[0] ? spot.at(0, 0, 0)[0] - a : Number.NaN;
        return at + width / 2 < left || at - width / 2 > right;
      });
      if (clear && random.chance(0.8)) {
        const [x, , z] = spot.at(0, 0, 0.12);
        addCabinet(scene, place([x, 0, z], spot.yaw), { width, depth: 0.34, tall: 0.7, base: 1.42 }, style);
      }
      break;
    }
  }
  tableWithChairs(f);
}

function study(f: Furnishing): void {
  const { scene, random, lit } = f;
  const [width, depth] = [random.between(1.1, 1.6), 0.65];
  const spot = againstWall(f, anySide(f), { width, depth, tall: 0.75 });
  if (spot) {
    addTable(scene, random, spot, { width, depth, tall: 0.74, round: false });
    const [x, , z] = spot.at(random.between(-0.2, 0.2), 0, -0.55);
    addChair(scene, place([x, 0, z], spot.yaw + Math.PI + random.between(-0.5, 0.5)), pickChairStyle(random));
    if (random.chance(0.7)) {
      const [a, , b] = spot.at(0.35 * width, 0, 0.15);
      light(f, addStandingLamp(scene, random, place([a, 0.74, b], 0), random.between(0.35, 0.5), lit), 0.3);
    }
  }
  chest(f);
  chest(f);
  if (random.chance(0.4)) tableWithChairs(f);
}

function hall(f: Furnishing): void {
  const { scene, random } = f;
  chest(f);
  const style = pickChairStyle(random);
  for (let i = random.whole(1, 4); i > 0; i--) {
    const spot = againstWall(f, anySide(f), { width: 0.6, depth: 0.5, tall: 0.9 });
    if (spot) addChair(scene, spot, style);
  }
  hangPainting(f);
  if (random.chance(0.5)) standPlant(f);
  if (random.chance(0.4)) standPerson(f);
}

/** A chest of drawers with things on it, or a wardrobe. */
function chest(f: Furnishing): void {
  const { scene, random, lit } = f;
  const high = random.chance(0.3);
  const tall = high ? random.between(1.7, 2.15) : random.between(0.7, 1.1);
  const [width, depth] = [random.between(0.8, high ? 1.8 : 1.5), random.between(0.38, 0.6)];
  const spot = againstWall(f, anySide(f), { width, depth, tall });
  if (!spot) return;
  addCabinet(scene, spot, { width, depth, tall, base: 0 }, pickCabinetStyle(random));
  if (high) return;
  addClutter(scene, random, spot, { x: 0.4 * width, z: 0.12, y: tall }, random.whole(0, 4));
  const [x, , z] = spot.at(random.between(-0.35, 0.35) * width, 0, 0);
  if (random.chance(0.35))
    light(f, addStandingLamp(scene, random, place([x, tall, z], 0), random.between(0.35, 0.6), lit), 0.3);
  else if (random.chance(0.3)) addPottedPlant(scene, random, place([x, tall, z], 0), random.between(0.3, 0.6));
}

function light({ lamps, lit }: Furnishing, at: Vector, strength: number): void {
  if (lit > 0.05) lamps.push({ at, strength: strength * lit });
}

function standLamp(f: Furnishing): void {
  const spot = againstWall(f, anySide(f), { width: 0.45, depth: 0.45, tall: 1.7 });
  if (spot) light(f, addStandingLamp(f.scene, f.random, spot, f.random.between(1.4, 1.75), f.lit), 0.6);
}

function pendant(f: Furnishing, at: Vector, drop: number): void {
  light(f, addHangingLamp(f.scene, f.random, at, drop, f.lit), 1);
}

function hangLamps(f: Furnishing): void {
  const { random, room } = f;
  if (f.lamps.length > 1 || random.chance(0.25)) return;
  const z = room.depth * random.between(0.5, 0.7);
  pendant(f, [random.between(-0.2, 0.2) * room.width, room.tall, z], random.between(0.25, 0.7));
}

function hangPainting(f: Furnishing): void {
  const { scene, random, room } = f;
  const side = random.chance(0.6) ? room.sides[0] : random.pick([room.sides[1], room.sides[2]]);
  const [width, tall] = [random.between(0.35, 1.2), random.between(0.35, 0.9)];
  const free: Side = { ...side, floor: side.upper };
  const at = findStretch(free, width + 0.15, { tall: true, near: random.between });
  if (at === undefined) return;
  side.upper.push([at - width / 2, at + width / 2]);
  const middle = place(side.place.at(at, random.between(1.45, 1.65), 0), side.place.yaw);
  addPainting(scene, random, middle, width, tall);
}

function standPlant(f: Furnishing): void {
  const spot = againstWall(f, anySide(f), { width: 0.5, depth: 0.5, tall: 0.8 });
  if (spot) addPottedPlant(f.scene, f.random, spot, f.random.between(0.6, 1.5));
}

function standPerson(f: Furnishing): void {
  const { random } = f;
  const spot = inTheMiddle(f, 0.4);
  if (!spot) return;
  const turn = random.between(-Math.PI, Math.PI);
  addPerson(f.scene, random, place(spot, turn), random.between(1.5, 1.88), random.chance(0.5) ? 'walking' : 'standing');
  const beside: Vector = [spot[0] + 0.7 * cosine(turn), 0, spot[2] - 0.7 * sine(turn)];
  if (random.chance(0.2) && Math.abs(beside[0]) < f.room.width / 2 - 0.4) {
    addPerson(f.scene, random, place(beside, turn + random.between(1, 2)), random.between(1.5, 1.88), 'standing');
  }
}
