import { LABELS } from '../classes.ts';
import { type Placement, place } from '../maths/placement.ts';
import { addPolygon, type Look, type Scene } from '../render/scene.ts';

/** A hole in a wall; metres from the wall's middle and from the floor. */
export interface Opening {
  readonly kind: 'window' | 'door';
  readonly left: number;
  readonly right: number;
  readonly bottom: number;
  readonly top: number;
}

/** One wall of a room: x runs to the right along it from its middle, z through it to the outside. */
export interface Side {
  readonly place: Placement;
  readonly length: number;
  readonly openings: readonly Opening[];
  /** Stretches along the floor that are taken, and those up at the wall. */
  readonly floor: [from: number, to: number][];
  readonly upper: [from: number, to: number][];
}

/** A room from -width / 2 to width / 2 and from 0 to depth; the viewer stands near z = 0. */
export interface Room {
  readonly width: number;
  readonly depth: number;
  readonly tall: number;
  readonly sides: readonly [back: Side, left: Side, right: Side];
}

/** How deep windows lie in their walls. */
export const RECESS = 0.16;

export function createSides(width: number, depth: number, openings: readonly (readonly Opening[])[]): Room['sides'] {
  const side = (at: Placement, length: number, holes: readonly Opening[]): Side => ({
    place: at,
    length,
    openings: holes.toSorted((a, b) => a.left - b.left),
    floor: holes.filter(({ kind }) => kind === 'door').map(({ left, right }) => [left - 0.15, right + 0.15]),
    upper: holes.map(({ left, right }) => [left - 0.2, right + 0.2]),
  });
  const half = width / 2;
  return [
    side(place([0, 0, depth], 0), width, openings[0]),
    side(place([-half, 0, depth / 2], -Math.PI / 2), depth, openings[1]),
    side(place([half, 0, depth / 2], Math.PI / 2), depth, openings[2]),
  ];
}

export interface RoomLooks {
  readonly wall: Look;
  readonly floor: Look;
  readonly ceiling: Look;
  readonly trim: Look;
}

/** Floor, ceiling and walls around their openings. */
export function buildShell(scene: Scene, { width, depth, tall, sides }: Room, looks: RoomLooks): void {
  const [x, front] = [width / 2, -1.5];
  const corners = (y: number) =>
    [
      [-x, y, front],
      [x, y, front],
      [x, y, depth],
      [-x, y, depth],
    ] as const;
  addPolygon(scene, corners(0), looks.floor);
  addPolygon(scene, corners(tall), looks.ceiling);
  for (const side of sides) {
    // The walls beside the viewer go on behind him.
    const [beginning, end] = side === sides[0] ? [-x, x] : [-depth / 2 - 1.5, depth / 2 + 1.5];
    let from = beginning;
    for (const { left, right, bottom, top } of side.openings) {
      addPiece(scene, side, [from, left], [0, tall], looks.wall);
      addPiece(scene, side, [left, right], [0, bottom], looks.wall);
      addPiece(scene, side, [left, right], [top, tall], looks.wall);
      from = right;
    }
    addPiece(scene, side, [from, end], [0, tall], looks.wall);
    for (const opening of side.openings) addReveal(scene, side, opening, looks.wall);
    addSkirting(scene, side, [beginning, end], looks.trim);
  }
}

function addPiece(scene: Scene, side: Side, x: [number, number], y: [number, number], look: Look): void {
  if (x[1] - x[0] < 1e-3 || y[1] - y[0] < 1e-3) return;
  const { at } = side.place;
  addPolygon(scene, [at(x[0], y[0], 0), at(x[1], y[0], 0), at(x[1], y[1], 0), at(x[0], y[1], 0)], look);
}

/** The wall's thickness around an opening. */
function addReveal(scene: Scene, { place: { at } }: Side, { left, right, bottom, top }: Opening, look: Look): void {
  const z = RECESS;
  addPolygon(scene, [at(left, bottom, 0), at(right, bottom, 0), at(right, bottom, z), at(left, bottom, z)], look);
  addPolygon(scene, [at(left, top, 0), at(right, top, 0), at(right, top, z), at(left, top, z)], look);
  for (const x of [left, right]) {
    addPolygon(scene, [at(x, bottom, 0), at(x, bottom, z), at(x, top, z), at(x, top, 0)], look);
  }
}

function addSkirting(scene: Scene, side: Side, [beginning, end]: [number, number], look: Look): void {
  let from = beginning;
  const doors = side.openings.filter(({ kind }) => kind === 'door');
  for (const { left, right } of [...doors, { left: end, right: end }]) {
    const { at } = side.place;
    const [a, b] = [from, left];
    if (b - a > 0.01) {
      addPolygon(scene, [at(a, 0, -0.015), at(b, 0, -0.015), at(b, 0.09, -0.015), at(a, 0.09, -0.015)], look);
      addPolygon(scene, [at(a, 0.09, -0.015), at(b, 0.09, -0.015), at(b, 0.09, 0), at(a, 0.09, 0)], look);
    }
    from = right;
  }
}

/** A free stretch of `wide` metres along a wall, on the floor, or also up at the wall; undefined where there is none. */
export function findStretch(
  side: Side,
  wide: number,
  wanted: { tall: boolean; near: (low: number, high: number) => number },
): number | undefined {
  const half = side.length / 2;
  if (wide > side.length - 0.1) return undefined;
  const taken = wanted.tall ? [...side.floor, ...side.upper] : side.floor;
  for (let i = 0; i < 14; i++) {
    const at = wanted.near(-half + wide / 2 + 0.05, half - wide / 2 - 0.05);
    if (taken.every(([from, to]) => at + wide / 2 < from || at - wide / 2 > to)) return at;
  }
  return undefined;
}

export const SHELL_LABELS = { wall: LABELS.wall, floor: LABELS.floor, ceiling: LABELS.ceiling };
