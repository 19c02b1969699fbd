import { IGNORED, LABELS } from '../classes.ts';
import { cloth, pickCloth } from '../materials/cloth.ts';
import { pickBoard } from '../materials/wood.ts';
import { PALE, pickColour } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { scale } from '../maths/vector.ts';
import { addCone, addEllipsoid, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

export const BED_LENGTH = 2.05;

/** Adds a bed with its middle over the place, its head at the place's back. */
export function addBed(scene: Scene, random: Random, place: Placement, width: number): void {
  const [x, z] = [width / 2, BED_LENGTH / 2];
  const label = LABELS.bed;
  const frame = { label, material: pickBoard(random) };
  const sheet = { label, material: cloth({ ...pickCloth(random, 0.15, 3), colour: pickColour(random, PALE) }) };
  const cover = { label, material: cloth({ ...pickCloth(random, 0.45, 2.2), folds: random.between(0.3, 0.6) }) };
  const top = random.between(0.46, 0.62);
  const head = random.between(0.85, 1.25);
  addBox(scene, place, { from: [-x, 0.1, -z], to: [x, 0.3, z] }, frame);
  addBox(scene, place, { from: [-x - 0.02, 0, z - 0.05], to: [x + 0.02, head, z + 0.03] }, frame);
  addBox(scene, place, { from: [-x + 0.02, 0.28, -z + 0.02], to: [x - 0.02, top - 0.02, z - 0.05] }, sheet);
  // The cover hangs over the sides and is turned back below the pillows.
  const turned = z - random.between(0.5, 0.75);
  const hang = random.between(0.12, 0.4);
  const shape = { from: [-x - 0.03, hang, -z - 0.03], to: [x + 0.03, top + 0.03, turned] } as const;
  addBox(scene, place, shape, cover, { bottom: null });
  for (const side of [-x - 0.01, x + 0.01]) {
    addCone(scene, place.at(side, top, -z), place.at(side, top, turned), [0.035, 0.035], cover);
  }
  addCone(scene, place.at(-x, top, -z), place.at(x, top, -z), [0.035, 0.035], cover);
  addCone(scene, place.at(-x, top, turned), place.at(x, top, turned), [0.045, 0.045], sheet);
  const pillows = width > 1.3 ? 2 : 1;
  const pillow = { label: IGNORED, material: cloth({ ...pickCloth(random, 0.4, 4), pattern: 'plain' as const }) };
  for (let i = 0; i < pillows; i++) {
    const at = ((i + 0.5) / pillows - 0.5) * width;
    const half = (width / pillows) * 0.42;
    const across = scale(place.towards(1, 0, 0), half);
    const back = scale(place.towards(0, 0.35, 0.94), 0.23);
    addEllipsoid(scene, place.at(at, top + 0.09, z - 0.3), [across, [0, 0.1, 0], back], pillow);
  }
}
