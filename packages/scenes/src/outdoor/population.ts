import { LABELS } from '../classes.ts';
import { arcTangent } from '../maths/arithmetic.ts';
import { place } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { addCutoutLook, type Scene } from '../render/scene.ts';
import { addCar } from '../things/car.ts';
import { addPerson } from '../things/person.ts';
import { addShrub, addTuft, pickShrub } from '../things/shrub.ts';
import { leaves, type Season } from '../things/species.ts';
import { isFree, partAt } from './ground-plan.ts';
import { type Path, pathPoint } from './path.ts';
import type { Site } from './sites.ts';

const GRASS_PART = 0;

/** Cars on a site's roads, people, shrubs, and blades of grass near the eye. */
export function populate(
  scene: Scene,
  random: Random,
  site: Site,
  season: Season,
  grass: readonly [Vector, Vector],
): void {
  for (const path of site.plan.paths) {
    if (path.kind === 'road') addTraffic(scene, random.child(`cars${path.offset}`), path, site);
  }
  addPeople(scene, random.child('people'), site);
  addShrubs(scene, random.child('shrubs'), site, season);
  addTufts(scene, random.child('tufts'), site, grass);
}

/** Parked at the curb, and driving in their lanes. */
function addTraffic(scene: Scene, random: Random, path: Path, { busy, camera }: Site): void {
  const parked = path.walk > path.half && path.half > 3.2;
  for (const side of [-1, 1]) {
    if (parked && random.chance(0.65 * busy)) {
      for (let along = random.between(-20, 2); along < 70; along += random.between(5.6, 9)) {
        if (random.chance(0.3)) continue;
        addCarAt(scene, random, path, along, side * (path.half - 1.05), side, camera.position);
      }
    }
    for (let along = random.between(6, 30); along < 80; along += random.between(9, 40) / busy) {
      if (random.chance(0.55))
        addCarAt(
          scene,
          random,
          path,
          along + (path.across ? -35 : 0),
          side * path.half * (parked ? 0.28 : 0.5),
          side,
          camera.position,
        );
    }
  }
}

function addCarAt(
  scene: Scene,
  random: Random,
  path: Path,
  along: number,
  lateral: number,
  side: number,
  eye: Vector,
): void {
  const { x, z, dx, dz } = pathPoint(path, along, lateral);
  const [fromX, fromZ] = [x - eye[0], z - eye[2]];
  if (fromX * fromX + fromZ * fromZ < 20) return;
  // Traffic keeps to the right: what is on the right drives away.
  const away = side > 0 ? 1 : -1;
  const yaw = arcTangent(-away * dx, -away * dz);
  addCar(scene, random, place([x, 0, z], yaw + random.between(-0.04, 0.04)));
}

function addPeople(scene: Scene, random: Random, site: Site): void {
  const { busy, plan, camera } = site;
  const count = Math.round(random.between(0, 7) * busy + (random.chance(0.4) ? 1 : 0));
  for (let i = 0; i < count; i++) {
    const near = random.next();
    const z = 3.5 + 26 * near * near;
    const path = random.chance(0.75) && plan.paths.length > 0 ? random.pick(plan.paths) : undefined;
    const [x, depth] = path
      ? besidePath(random, path, z)
      : [camera.position[0] + random.between(-0.55, 0.55) * (z + 1), z];
    if (depth < 3 || !site.clear(x, depth) || (!path && !isFree(plan, x, depth, 0.3))) continue;
    const company = random.chance(0.3) ? 2 : 1;
    const yaw = random.between(-Math.PI, Math.PI);
    const posture = random.chance(0.6) ? 'walking' : 'standing';
    for (let j = 0; j < company; j++) {
      addPerson(
        scene,
        random,
        place([x + 0.6 * j, 0, depth + 0.1 * j], yaw + random.between(-0.3, 0.3)),
        random.chance(0.12) ? random.between(1, 1.4) : random.between(1.55, 1.9),
        posture,
      );
    }
  }
}

function besidePath(random: Random, path: Path, along: number): [number, number] {
  const walk =
    path.walk > path.half
      ? random.between(path.half + 0.4, path.walk - 0.3) * (random.chance(0.5) ? 1 : -1)
      : random.between(-1, 1) * path.half;
  const { x, z } = pathPoint(path, path.across ? random.between(-12, 12) : along, walk);
  return [x, z];
}

function addShrubs(scene: Scene, random: Random, site: Site, season: Season): void {
  const { plan, wild } = site;
  const kinds = [pickShrub(scene, random, season), pickShrub(scene, random, season)];
  const count = Math.round(random.between(0, 12) * (0.35 + wild));
  for (let i = 0; i < count; i++) {
    const share = random.next();
    const z = 5 + 50 * share * share;
    const x = random.between(-0.8, 0.8) * (z + 4);
    if (!isFree(plan, x, z, 0.8) || !site.clear(x, z)) continue;
    const hedge = random.chance(0.2);
    const wide = hedge ? random.between(2, 7) : random.between(0.7, 2.6);
    const deep = hedge ? random.between(0.6, 1) : wide * random.between(0.8, 1.2);
    const tall = hedge ? random.between(0.8, 1.6) : wide * random.between(0.5, 0.95);
    addShrub(scene, random, random.pick(kinds), {
      x,
      z,
      wide,
      deep,
      tall,
      distance: Math.sqrt(x * x + z * z),
      square: hedge ? 0.85 : 0.1,
    });
  }
}

function addTufts(scene: Scene, random: Random, { plan, wild, camera }: Site, grass: readonly [Vector, Vector]): void {
  if (plan.base !== 'grass' && plan.base !== 'earth') return;
  const look = addCutoutLook(scene, { label: LABELS.grass, material: leaves(grass, 0.35), castsShadow: false });
  const count = Math.round(500 + 1500 * wild);
  const tall = random.between(0.05, 0.09) + 0.13 * wild * random.next();
  for (let i = 0; i < count; i++) {
    const share = random.next();
    const z = 1.4 + 17 * share * share;
    const x = camera.position[0] + random.between(-0.75, 0.75) * (z + 0.6);
    if (partAt(plan, x, z) !== GRASS_PART) continue;
    addTuft(scene, random, look, [x, z], tall * random.between(0.6, 1.4) * (1 + z / 25));
  }
}
