import { place } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Scene } from '../render/scene.ts';
import type { CameraPose } from '../render/view.ts';
import type { Weather } from '../sky/atmosphere.ts';
import { addBuilding } from '../things/building.ts';
import { pickBuildingStyle } from '../things/building-style.ts';
import type { Season } from '../things/species.ts';
import { type GroundPlan, isFree, type Water } from './ground-plan.ts';
import { footpath, lateral, type Path, pathPoint, roadAcross, roadAlong, withoutWalk } from './path.ts';
import { pickKinds, plantForest, plantTrees } from './planting.ts';

export interface Site {
  readonly plan: GroundPlan;
  readonly camera: CameraPose;
  /** Ranges of mountains behind it. */
  readonly mountains: number;
  /** How many people and cars there are, from 0 to 1, and how wild the plants are. */
  readonly busy: number;
  readonly wild: number;
  /** Whether a place is clear of buildings. */
  readonly clear: (x: number, z: number) => boolean;
}

export interface Hour {
  readonly weather: Weather;
  readonly season: Season;
}

type Build = (scene: Scene, random: Random, hour: Hour) => Site;

const SITES: readonly Build[] = [street, street, village, countryRoad, park, lake, meadow, square];

export function pickSite(scene: Scene, random: Random, hour: Hour): Site {
  return random.pick(SITES)(scene, random, hour);
}

function pose(random: Random, x: number, height: number, yaw: number, pitch: number): CameraPose {
  const focal = random.between(0.72, 1.25);
  return { position: [x, height, 0], yaw, pitch, roll: random.bell() * 0.008, focal };
}

function eyeHeight(random: Random): number {
  return random.chance(0.75) ? random.between(1.4, 1.9) : random.between(2.2, 5.5);
}

/** Buildings in a row on one side of a path. */
function buildRow(
  scene: Scene,
  random: Random,
  path: Path,
  side: number,
  hour: Hour,
  kind: 'house' | 'town' | 'block' | 'office',
) {
  const setback = path.walk + (kind === 'house' ? random.between(3, 8) : random.between(0, 1.5));
  let along = random.between(-12, 4);
  while (along < 110) {
    const width = kind === 'house' ? random.between(8, 13) : random.between(8, 20);
    const floors = kind === 'house' ? random.whole(1, 2) : kind === 'town' ? random.whole(2, 5) : random.whole(4, 12);
    const style = pickBuildingStyle(random, kind, hour.weather.sun, litShare(hour));
    const { x, z, dx, dz } = pathPoint(path, along + width / 2, side * setback);
    // A building faces the path: its own -z points to it.
    const yaw = path.across ? (side > 0 ? 0 : Math.PI) : side > 0 ? Math.PI / 2 : -Math.PI / 2;
    const lean = path.across ? -dz : dx;
    addBuilding(
      scene,
      random,
      place([x, 0, z], yaw + Math.max(-0.4, Math.min(0.4, lean))),
      { width, depth: random.between(8, 13), floors },
      style,
    );
    along += width + (kind === 'house' ? random.between(3, 12) : random.chance(0.2) ? random.between(2, 7) : 0);
  }
}

function litShare({ weather }: Hour): number {
  return weather.sun[1] < 0.25 ? 0.4 : 0.03;
}

function street(scene: Scene, random: Random, hour: Hour): Site {
  const road = roadAlong(random, random.between(-5, 5));
  const kind = random.pick(['town', 'town', 'block', 'house', 'office'] as const);
  const paths = [road];
  if (random.chance(0.3)) paths.push(roadAcross(random, random.between(25, 55)));
  const plan: GroundPlan = {
    base: kind === 'house' ? 'grass' : 'paved',
    patches: 0.2,
    paths,
    waters: [],
    seed: random.between(0, 200),
  };
  buildRow(scene, random, road, -1, hour, kind);
  if (random.chance(0.85)) buildRow(scene, random, road, 1, hour, random.chance(0.7) ? kind : 'town');
  const kinds = pickKinds(scene, random, hour.season, 2);
  if (random.chance(0.6)) {
    for (let along = random.between(3, 9); along < 80; along += random.between(7, 12)) {
      for (const side of [-1, 1]) {
        const spot = pathPoint(road, along, side * (road.half + 0.9));
        plantTrees(scene, random, kinds.slice(0, 1), [[spot.x, spot.z]], [5, 9]);
      }
    }
  }
  plantForest(scene, random, kinds, plan, { from: 115, to: 160, count: 30 });
  const eye = pathPoint(road, 0, random.between(-road.walk, road.walk));
  return {
    plan,
    camera: pose(random, eye.x, eyeHeight(random), random.between(-0.3, 0.3), random.between(-0.06, 0.1)),
    mountains: random.chance(0.2) ? 1 : 0,
    busy: 1,
    wild: 0,
    clear: (x, z) => Math.abs(lateral(road, x, z)) < road.walk,
  };
}

function village(scene: Scene, random: Random, hour: Hour): Site {
  const road = random.chance(0.6)
    ? roadAcross(random, random.between(7, 14))
    : roadAlong(random, random.between(-7, 7));
  const path = random.chance(0.5) ? road : withoutWalk(road);
  const plan: GroundPlan = {
    base: 'grass',
    patches: random.between(0, 0.5),
    paths: [path],
    waters: [],
    seed: random.between(0, 200),
  };
  const count = random.whole(1, 4);
  const taken: [number, number][] = [];
  for (let i = 0; i < count * 5 && taken.length < count; i++) {
    const [x, z] = [random.between(-20, 20), random.between(16, 48)];
    if (!isFree(plan, x, z, 8) || taken.some(([a, b]) => (a - x) * (a - x) + (b - z) * (b - z) < 320)) continue;
    taken.push([x, z]);
    const style = pickBuildingStyle(random, 'house', hour.weather.sun, litShare(hour));
    addBuilding(
      scene,
      random,
      place([x, 0, z], random.between(-0.9, 0.9)),
      { width: random.between(9, 15), depth: random.between(7, 10), floors: random.whole(1, 3) },
      style,
    );
  }
  const kinds = pickKinds(scene, random, hour.season, 3);
  const spots = scatter(random, plan, random.whole(5, 14), [-26, 26], [9, 60]).filter(([x, z]) =>
    taken.every(([a, b]) => (a - x) * (a - x) + (b - z) * (b - z) > 90),
  );
  plantTrees(scene, random, kinds, spots);
  plantForest(scene, random, kinds, plan, { from: 70, to: 120, count: 45 });
  return {
    plan,
    camera: pose(random, 0, eyeHeight(random), random.between(-0.2, 0.2), random.between(-0.05, 0.07)),
    mountains: random.whole(0, 2),
    busy: 0.5,
    wild: 0.4,
    clear: (x, z) => taken.every(([a, b]) => (a - x) * (a - x) + (b - z) * (b - z) > 90),
  };
}

function countryRoad(scene: Scene, random: Random, hour: Hour): Site {
  const road = withoutWalk(roadAlong(random, random.between(-4, 4)));
  const plan: GroundPlan = {
    base: random.pick(['grass', 'grass', 'earth', 'field'] as const),
    patches: random.between(0.1, 0.6),
    paths: [road],
    waters: [],
    seed: random.between(0, 200),
  };
  const kinds = pickKinds(scene, random, hour.season, 3);
  if (random.chance(0.4)) {
    for (let along = random.between(4, 10); along < 110; along += random.between(7, 11)) {
      for (const side of [-1, 1]) {
        const spot = pathPoint(road, along + random.between(-1, 1), side * (road.half + random.between(1.5, 2.5)));
        plantTrees(scene, random, kinds.slice(0, 1), [[spot.x, spot.z]]);
      }
    }
  } else plantTrees(scene, random, kinds, scatter(random, plan, random.whole(4, 20), [-40, 40], [10, 90]));
  plantForest(scene, random, kinds, plan, { from: 95, to: 170, count: random.whole(10, 60) });
  return {
    plan,
    camera: pose(
      random,
      random.between(-1.5, 1.5),
      eyeHeight(random),
      random.between(-0.2, 0.2),
      random.between(-0.08, 0.05),
    ),
    mountains: random.whole(0, 3),
    busy: 0.35,
    wild: 0.8,
    clear: () => true,
  };
}

function park(scene: Scene, random: Random, hour: Hour): Site {
  const paths = [footpath(random, random.between(-4, 4))];
  const waters: Water[] = random.chance(0.45)
    ? [
        {
          x: random.between(-16, 16),
          z: random.between(16, 34),
          halfX: random.between(7, 18),
          halfZ: random.between(5, 12),
          seed: random.between(0, 200),
        },
      ]
    : [];
  const plan: GroundPlan = {
    base: 'grass',
    patches: random.between(0, 0.5),
    paths,
    waters,
    seed: random.between(0, 200),
  };
  const kinds = pickKinds(scene, random, hour.season, 4);
  plantTrees(scene, random, kinds, scatter(random, plan, random.whole(8, 24), [-30, 30], [7, 60]));
  plantForest(scene, random, kinds, plan, { from: 60, to: 110, count: 60 });
  return {
    plan,
    camera: pose(random, 0, eyeHeight(random), random.between(-0.3, 0.3), random.between(-0.08, 0.06)),
    mountains: 0,
    busy: 0.6,
    wild: 0.5,
    clear: () => true,
  };
}

function lake(scene: Scene, random: Random, hour: Hour): Site {
  const wide = random.chance(0.5);
  const near = random.between(5, 16);
  const halfZ = wide ? random.between(45, 150) : random.between(18, 45);
  const waters = [
    {
      x: random.between(-30, 30),
      z: near + halfZ,
      halfX: wide ? 400 : random.between(35, 90),
      halfZ,
      seed: random.between(0, 200),
    },
  ];
  const plan: GroundPlan = {
    base: random.pick(['grass', 'sand', 'earth'] as const),
    patches: random.between(0.2, 0.6),
    paths: [],
    waters,
    seed: random.between(0, 200),
  };
  const kinds = pickKinds(scene, random, hour.season, 3);
  plantTrees(scene, random, kinds, scatter(random, plan, random.whole(0, 7), [-25, 25], [6, 70]));
  plantForest(scene, random, kinds, plan, {
    from: near + 2 * halfZ + 3,
    to: near + 2 * halfZ + 45,
    count: random.whole(0, 90),
  });
  return {
    plan,
    camera: pose(random, 0, eyeHeight(random), random.between(-0.25, 0.25), random.between(-0.12, 0.04)),
    mountains: random.whole(0, 3),
    busy: 0.25,
    wild: 0.9,
    clear: () => true,
  };
}

function meadow(scene: Scene, random: Random, hour: Hour): Site {
  const paths = random.chance(0.4) ? [footpath(random, random.between(-5, 5))] : [];
  const plan: GroundPlan = {
    base: random.pick(['grass', 'grass', 'earth', 'field'] as const),
    patches: random.between(0, 0.7),
    paths,
    waters: [],
    seed: random.between(0, 200),
  };
  const kinds = pickKinds(scene, random, hour.season, 3);
  plantTrees(scene, random, kinds, scatter(random, plan, random.whole(1, 9), [-35, 35], [9, 80]));
  plantForest(scene, random, kinds, plan, { from: 80, to: 170, count: random.whole(5, 70) });
  return {
    plan,
    camera: pose(random, 0, eyeHeight(random), random.between(-0.3, 0.3), random.between(-0.1, 0.05)),
    mountains: random.whole(1, 3),
    busy: 0.15,
    wild: 1,
    clear: () => true,
  };
}

function square(scene: Scene, random: Random, hour: Hour): Site {
  const plan: GroundPlan = {
    base: 'paved',
    patches: 0,
    paths: random.chance(0.4) ? [roadAcross(random, random.between(12, 18))] : [],
    waters: [],
    seed: random.between(0, 200),
  };
  const kind = random.pick(['town', 'town', 'block', 'office'] as const);
  const distance = random.between(24, 45);
  let x = -60;
  while (x < 60) {
    const width = random.between(9, 24);
    const style = pickBuildingStyle(random, kind, hour.weather.sun, litShare(hour));
    addBuilding(
      scene,
      random,
      place([x + width / 2, 0, distance + random.between(0, 3)], random.between(-0.03, 0.03)),
      { width, depth: 12, floors: random.whole(2, kind === 'town' ? 5 : 9) },
      style,
    );
    x += width + (random.chance(0.2) ? random.between(1, 6) : 0);
  }
  const kinds = pickKinds(scene, random, hour.season, 2);
  plantTrees(scene, random, kinds, scatter(random, plan, random.whole(0, 6), [-22, 22], [9, distance - 3]), [4, 8]);
  return {
    plan,
    camera: pose(random, 0, eyeHeight(random), random.between(-0.35, 0.35), random.between(-0.03, 0.12)),
    mountains: random.chance(0.15) ? 1 : 0,
    busy: 1,
    wild: 0,
    clear: (_, z) => z < distance - 2,
  };
}

/** Free places, none near the eye. */
function scatter(
  random: Random,
  plan: GroundPlan,
  count: number,
  [left, right]: [number, number],
  [near, far]: [number, number],
): [number, number][] {
  const spots: [number, number][] = [];
  for (let i = 0; i < count * 4 && spots.length < count; i++) {
    const share = random.next();
    const z = near + (far - near) * share * Math.sqrt(share);
    const x = random.between(left, right) * (0.5 + z / far);
    if (isFree(plan, x, z, 0.8)) spots.push([x, z]);
  }
  return spots;
}
