import { LABELS } from '../classes.ts';
import { pickBoard } from '../materials/wood.ts';
import { fraction, smoothStep } from '../maths/arithmetic.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt } from '../render/hit.ts';
import type { Look, Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

export interface CabinetSize {
  readonly width: number;
  readonly depth: number;
  readonly tall: number;
  /** Of its lower edge: 0 stands, more hangs. */
  readonly base: number;
}

export interface CabinetStyle {
  readonly body: Look;
  readonly front: Look;
  readonly top: Look;
}

export function pickCabinetStyle(random: Random): CabinetStyle {
  const board = pickBoard(random);
  const label = LABELS.cabinet;
  const front = fronts({
    board: random.chance(0.8) ? board : pickBoard(random),
    wide: random.between(0.38, 0.65),
    tall: random.chance(0.5) ? 9 : random.between(0.2, 0.45),
    panelled: random.chance(0.5),
    metal: random.pick<Vector>([
      [0.5, 0.5, 0.5],
      [0.45, 0.33, 0.14],
      [0.03, 0.03, 0.03],
    ]),
  });
  return {
    body: { label, material: board },
    front: { label, material: front },
    top: { label, material: random.chance(0.7) ? board : pickBoard(random) },
  };
}

/** Adds a cabinet, a chest of drawers, a wardrobe, with its middle over the place and its doors at the place's front. */
export function addCabinet(scene: Scene, place: Placement, size: CabinetSize, style: CabinetStyle): void {
  const [x, z] = [size.width / 2, size.depth / 2];
  const { base } = size;
  const top = base + size.tall;
  const { body, front } = style;
  addBox(scene, place, { from: [-x, base + 0.05, -z], to: [x, top - 0.03, z] }, body, { front, top: null });
  addBox(scene, place, { from: [-x + 0.03, base, -z + 0.04], to: [x - 0.03, base + 0.06, z] }, body);
  addBox(scene, place, { from: [-x - 0.015, top - 0.03, -z - 0.02], to: [x + 0.015, top, z] }, style.top);
}

interface Fronts {
  readonly board: Material;
  /** Of a door or a drawer, at most. */
  readonly wide: number;
  readonly tall: number;
  readonly panelled: boolean;
  readonly metal: Vector;
}

/** Doors and drawers side by side, with gaps, panels and handles. */
function fronts({ board, wide, tall, panelled, metal }: Fronts): Material {
  return (hit) => {
    const { u, v, footprint } = hit;
    board(hit);
    const columns = Math.max(1, Math.round(hit.width / wide));
    const rows = Math.max(1, Math.round(hit.height / tall));
    const [cellWide, cellTall] = [hit.width / columns, hit.height / rows];
    const column = Math.floor(u / cellWide);
    const x = fraction(u / cellWide) * cellWide;
    const y = fraction(v / cellTall) * cellTall;
    const edge = Math.min(x, cellWide - x, y, cellTall - y);
    const soft = Math.max(0.006, footprint);
    shadeBy(hit, 1 - 0.75 * smoothStep(soft, 0, edge) * Math.min(1, 0.008 / footprint));
    if (panelled) bevelled(hit, edge - 0.06, soft);
    handle(hit, metal, rows > 1 ? x - cellWide / 2 : nearLock(x, cellWide, column), y - cellTall * 0.55, rows > 1);
  };
}

/** Doors open in pairs: the handle is where they meet. */
function nearLock(x: number, wide: number, column: number): number {
  return column % 2 === 0 ? x - (wide - 0.05) : x - 0.05;
}

function bevelled(hit: Hit, inward: number, soft: number): void {
  const rim = smoothStep(1.5 * soft, 0, Math.abs(inward));
  shadeBy(hit, 1 - 0.35 * rim);
  if (inward > 0) shadeBy(hit, 0.93);
  tilt(hit, 0, 0.2 * rim);
}

function handle(hit: Hit, metal: Vector, x: number, y: number, level: boolean): void {
  const [across, up] = level ? [x, y] : [y, x];
  if (Math.abs(across) > 0.06 || Math.abs(up) > 0.009 + 0.3 * hit.footprint) return;
  paint(hit, metal);
  hit.gloss = 0.4;
  hit.dullness = 0.3;
}
