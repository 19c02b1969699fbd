import { LABELS } from '../classes.ts';
import { soft } from '../materials/cloth.ts';
import { PALE, pickColour } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import type { Material } from '../render/hit.ts';
import { addBall, addCone, addEllipsoid, type Look, type Scene } from '../render/scene.ts';

/** A lamp that stands: on the floor, a table, a chest. */
export function addStandingLamp(scene: Scene, random: Random, place: Placement, tall: number, lit: number): Vector {
  const foot = metal(random);
  const shade = shadeLook(random, lit);
  const wide = tall > 1 ? random.between(0.16, 0.26) : tall * random.between(0.3, 0.42);
  const height = tall > 1 ? random.between(0.22, 0.36) : tall * random.between(0.38, 0.5);
  const flat: [Vector, Vector, Vector] = [
    [0.6 * wide, 0, 0],
    [0, 0.025, 0],
    [0, 0, 0.6 * wide],
  ];
  addEllipsoid(scene, place.at(0, 0.02, 0), flat, foot);
  if (tall < 1 && random.chance(0.6)) addBall(scene, place.at(0, 0.25 * tall, 0), 0.16 * tall, foot);
  addCone(scene, place.at(0, 0.02, 0), place.at(0, tall - 0.3 * height, 0), [0.014, 0.012], foot);
  addCone(
    scene,
    place.at(0, tall - height, 0),
    place.at(0, tall, 0),
    [wide, wide * random.pick([0.55, 0.75, 0.98])],
    shade,
  );
  return place.at(0, tall - height / 2, 0);
}

/** A lamp that hangs from the ceiling. @returns where its light is */
export function addHangingLamp(scene: Scene, random: Random, at: Vector, drop: number, lit: number): Vector {
  const [x, y, z] = at;
  const shade = shadeLook(random, lit);
  const wide = random.between(0.14, 0.28);
  const low: Vector = [x, y - drop, z];
  addCone(scene, at, [x, y - drop + 0.1, z], [0.008, 0.008], metal(random));
  const kind = random.next();
  if (kind < 0.35) addBall(scene, low, wide * 0.8, shade);
  else if (kind < 0.7) addCone(scene, low, [x, y - drop + wide, z], [wide, wide * 0.35], shade);
  else {
    const flat: [Vector, Vector, Vector] = [
      [wide * 1.2, 0, 0],
      [0, 0.09, 0],
      [0, 0, wide * 1.2],
    ];
    addEllipsoid(scene, low, flat, shade);
  }
  return [x, y - drop - 0.15, z];
}

function metal(random: Random): Look {
  const colour = random.pick<Vector>([
    [0.04, 0.04, 0.04],
    [0.5, 0.5, 0.5],
    [0.45, 0.32, 0.12],
  ]);
  return { label: LABELS.lamp, material: soft(colour, 8, 0.2) };
}

/** Its shade; light comes through it and must not be held back by it. */
function shadeLook(random: Random, lit: number): Look {
  const colour = pickColour(
    random,
    random.chance(0.8) ? PALE : { hue: [0, 1], saturation: [0.3, 0.7], value: [0.3, 0.8] },
  );
  const base = soft(colour, 20, 0.01);
  const warm: Vector = scale([1, 0.78, 0.5], 1.1 * lit);
  const material: Material = (hit) => {
    base(hit);
    hit.through = 0.4;
    hit.glowRed = hit.red * warm[0];
    hit.glowGreen = hit.green * warm[1];
    hit.glowBlue = hit.blue * warm[2];
  };
  return { label: LABELS.lamp, material, castsShadow: false };
}
