import type { Placement } from '../maths/placement.ts';
import type { Vector } from '../maths/vector.ts';
import { addPolygon, type Look, type Scene } from '../render/scene.ts';

/** A box in a thing's own coordinates: from one corner to the opposite one. */
export interface BoxShape {
  readonly from: Vector;
  readonly to: Vector;
}

export type Face = 'front' | 'back' | 'left' | 'right' | 'top' | 'bottom';

/** Adds a box, with looks for faces that are unlike the rest; a face with the look `null` is left out.
 * u runs to the right and v up, for who stands before the face. */
export function addBox(
  scene: Scene,
  place: Placement,
  { from, to }: BoxShape,
  look: Look,
  faces: Partial<Record<Face, Look | null>> = {},
  tint = 0.5,
): void {
  const [x0, y0, z0] = from;
  const [x1, y1, z1] = to;
  const corners: Record<Face, readonly Vector[]> = {
    front: [
      [x0, y0, z0],
      [x1, y0, z0],
      [x1, y1, z0],
      [x0, y1, z0],
    ],
    back: [
      [x1, y0, z1],
      [x0, y0, z1],
      [x0, y1, z1],
      [x1, y1, z1],
    ],
    left: [
      [x0, y0, z1],
      [x0, y0, z0],
      [x0, y1, z0],
      [x0, y1, z1],
    ],
    right: [
      [x1, y0, z0],
      [x1, y0, z1],
      [x1, y1, z1],
      [x1, y1, z0],
    ],
    top: [
      [x0, y1, z0],
      [x1, y1, z0],
      [x1, y1, z1],
      [x0, y1, z1],
    ],
    bottom: [
      [x0, y0, z1],
      [x1, y0, z1],
      [x1, y0, z0],
      [x0, y0, z0],
    ],
  };
  for (const [face, own] of Object.entries(corners)) {
    const faceLook = faces[face as Face] === undefined ? look : faces[face as Face];
    if (faceLook)
      addPolygon(
        scene,
        own.map(([x, y, z]) => place.at(x, y, z)),
        faceLook,
        tint,
      );
  }
}
