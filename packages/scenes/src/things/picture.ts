import { LABELS } from '../classes.ts';
import { canvas } from '../materials/interior.ts';
import { pickBoard } from '../materials/wood.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { addPolygon, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

/** Hangs a painting in its frame on the wall before which the place lies, its middle on the place. */
export function addPainting(scene: Scene, random: Random, place: Placement, width: number, tall: number): void {
  const [x, y] = [width / 2, tall / 2];
  const rim = random.between(0.015, 0.06);
  const frame = { label: LABELS.painting, material: pickBoard(random) };
  const art = { label: LABELS.painting, material: canvas(random) };
  const [innerX, innerY] = [x - rim, y - rim];
  const corners = [
    [-innerX, -innerY],
    [innerX, -innerY],
    [innerX, innerY],
    [-innerX, innerY],
  ] as const;
  addPolygon(
    scene,
    corners.map(([a, b]) => place.at(a, b, -0.015)),
    art,
  );
  addBox(scene, place, { from: [-x, -y, -0.03], to: [-innerX, y, 0] }, frame, { back: null });
  addBox(scene, place, { from: [innerX, -y, -0.03], to: [x, y, 0] }, frame, { back: null });
  addBox(scene, place, { from: [-x, -y, -0.03], to: [x, -innerY, 0] }, frame, { back: null });
  addBox(scene, place, { from: [-x, innerY, -0.03], to: [x, y, 0] }, frame, { back: null });
}
