import { IGNORED, LABELS } from '../classes.ts';
import { cloth, pickCloth, soft } from '../materials/cloth.ts';
import { colourOf } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { addBall, addCone, addEllipsoid, type Look, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';

export const SOFA_DEPTH = 0.9;

function cover(random: Random): Look {
  const leather = random.chance(0.25);
  const hide = colourOf(random.between(0.02, 0.1), random.between(0.1, 0.7), random.between(0.15, 0.6));
  const woven = { ...pickCloth(random, 0.35, 2.5), folds: random.between(0.15, 0.4) };
  return { label: LABELS.sofa, material: leather ? soft(hide, 5, 0.04) : cloth(woven) };
}

/** Adds a sofa with its middle over the place, facing the place's front. */
export function addSofa(scene: Scene, random: Random, place: Placement, width: number): void {
  const look = cover(random);
  const [x, z] = [width / 2, SOFA_DEPTH / 2];
  const arm = random.between(0.12, 0.22);
  const armTop = random.between(0.55, 0.66);
  const top = random.between(0.74, 0.9);
  const seat = 0.43;
  addBox(scene, place, { from: [-x + 0.03, 0.08, -z + 0.06], to: [x - 0.03, 0.3, z] }, look);
  addBox(scene, place, { from: [-x + arm, 0.08, z - 0.2], to: [x - arm, top - 0.06, z] }, look, { top: null });
  roll(scene, place, [-x + arm, top - 0.07, z - 0.1], [x - arm, top - 0.07, z - 0.1], 0.1, look);
  const cushions = Math.max(1, Math.round((width - 2 * arm) / 0.75));
  const wide = (width - 2 * arm) / cushions;
  for (let i = 0; i < cushions; i++) {
    const left = -x + arm + i * wide + 0.006;
    const right = left + wide - 0.012;
    const box = { from: [left, 0.3, -z + 0.07] as Vector, to: [right, seat, z - 0.2] as Vector };
    addBox(scene, place, box, look, { bottom: null, back: null }, (i + 1) / 5);
    roll(scene, place, [left, seat - 0.065, -z + 0.07], [right, seat - 0.065, -z + 0.07], 0.065, look);
    addBox(scene, place, { from: [left, seat, z - 0.34], to: [right, top - 0.1, z - 0.18] }, look, { back: null });
    roll(scene, place, [left, top - 0.11, z - 0.25], [right, top - 0.11, z - 0.25], 0.08, look);
  }
  for (const side of [-1, 1]) {
    const [inner, outer] = [side * (x - arm), side * x];
    const [from, to] = side < 0 ? [outer, inner] : [inner, outer];
    addBox(scene, place, { from: [from, 0.06, -z], to: [to, armTop - arm / 2, z] }, look, { top: null });
    const middle = (from + to) / 2;
    roll(scene, place, [middle, armTop - arm / 2, -z], [middle, armTop - arm / 2, z], arm / 2, look);
    addBall(scene, place.at(middle, armTop - arm / 2, -z + 0.02), arm / 2, look);
  }
  for (let i = random.whole(0, 3); i > 0; i--) {
    addCushion(scene, random, place, random.between(-1, 1) * (x - arm - 0.2), seat, z - 0.42);
  }
}

function roll(scene: Scene, place: Placement, from: Vector, to: Vector, radius: number, look: Look): void {
  addCone(scene, place.at(...from), place.at(...to), [radius, radius], look);
}

/** A cushion, of no class. */
export function addCushion(scene: Scene, random: Random, place: Placement, x: number, y: number, z: number): void {
  const look = { label: IGNORED, material: cloth(pickCloth(random, 0.3, 5)) };
  const half = random.between(0.17, 0.23);
  const across = scale(place.towards(1, 0, random.between(-0.3, 0.3)), half);
  const up = scale(place.towards(random.between(-0.2, 0.2), 0.95, 0.3), half);
  addEllipsoid(scene, place.at(x, y + half * 0.9, z), [across, up, scale(place.towards(0, -0.3, 0.95), 0.08)], look);
}
