import { IGNORED, LABELS } from '../classes.ts';
import { soft } from '../materials/cloth.ts';
import { clamp, cosine, sine, TURN } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { add, cross, scale, unit, type Vector } from '../maths/vector.ts';
import { pickMask } from '../render/masks.ts';
import { addCone, addCutout, addCutoutLook, addEllipsoid, type Scene } from '../render/scene.ts';
import { leafColours, leaves } from './species.ts';

/** Adds a plant in a pot that stands on the place, `tall` metres high with its leaves. */
export function addPottedPlant(scene: Scene, random: Random, place: Placement, tall: number): void {
  const pot = clamp(0.3 * tall, 0.1, 0.35);
  const clay = colourOf(random.between(0, 0.12), random.between(0, 0.6), random.between(0.3, 0.85));
  const look = { label: IGNORED, material: soft(clay, 6, 0.03) };
  const soil = { label: IGNORED, material: soft([0.03, 0.022, 0.016], 40) };
  const flat: [Vector, Vector, Vector] = [
    [0.42 * pot, 0, 0],
    [0, 0.02, 0],
    [0, 0, 0.42 * pot],
  ];
  addEllipsoid(scene, place.at(0, pot, 0), flat, soil);
  addCone(scene, place.at(0, 0, 0), place.at(0, pot, 0), [0.32 * pot, 0.45 * pot], look);
  const leaf = addCutoutLook(scene, {
    label: LABELS.plant,
    material: leaves(leafColours(random, 'summer', false), 0.3),
  });
  const kind = random.pick(['frond', 'singleLeaf', 'broadleaf'] as const);
  const count = kind === 'broadleaf' ? 46 : kind === 'frond' ? 16 : 22;
  const stem = { label: LABELS.plant, material: soft([0.06, 0.08, 0.03], 20) };
  for (let i = 0; i < count; i++) {
    const angle = (TURN * (i + random.next())) / count + 2.4 * i;
    const lean = random.between(0.15, 1.15);
    const out: Vector = [sine(lean) * cosine(angle), cosine(lean), sine(lean) * sine(angle)];
    const long = (tall - pot) * random.between(0.55, 1);
    const root = place.at(0, pot, 0);
    const along = kind === 'broadleaf' ? scale(out, 0.13 * tall) : scale(out, long / 2);
    const centre = add(
      root,
      kind === 'broadleaf' ? scale(out, long * random.between(0.4, 1)) : scale(out, long * 0.55),
    );
    const side = unit(cross(out, [cosine(angle + 1.3), 0.2, sine(angle + 1.3)]));
    const wide = { frond: 0.5, singleLeaf: 0.42, broadleaf: 1 }[kind];
    const v = scale(side, wide * Math.sqrt(along[0] * along[0] + along[1] * along[1] + along[2] * along[2]));
    if (kind === 'broadleaf' && i % 4 === 0) addCone(scene, root, centre, [0.009, 0.005], stem);
    const normal = unit(add(cross(side, out), [0, 0.8, 0]));
    const open = random.between(0.55, 1);
    // A single leaf's mask points along its own second side.
    const [first, second] = kind === 'singleLeaf' ? [v, along] : [along, v];
    const mask = pickMask(random, kind);
    addCutout(scene, { centre, u: first, v: second, normal, tint: random.next(), open, look: leaf, mask });
  }
}
