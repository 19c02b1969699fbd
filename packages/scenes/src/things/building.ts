import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { addCone, addPolygon, type Look, type Scene } from '../render/scene.ts';
import { addBox } from './box.ts';
import type { BuildingStyle } from './building-style.ts';

export interface BuildingSize {
  readonly width: number;
  readonly depth: number;
  readonly floors: number;
}

/** Stands a building with its front's middle on the place, facing the place's front. */
export function addBuilding(
  scene: Scene,
  random: Random,
  place: Placement,
  size: BuildingSize,
  style: BuildingStyle,
): void {
  const { width, depth, floors } = size;
  const half = width / 2;
  const height = floors * style.floorHeight;
  const { front, side, trim, plain } = style;
  const roof = style.roofKind === 'flat';
  const body = { from: [-half, 0, 0] as Vector, to: [half, height, depth] as Vector };
  addBox(scene, place, body, side, { front, bottom: null, top: roof ? plain : null, back: plain }, random.next());
  // A plinth, and a cornice below the roof.
  addBox(scene, place, { from: [-half - 0.06, 0, -0.06], to: [half + 0.06, 0.45, depth + 0.06] }, trim, {
    bottom: null,
  });
  if (roof) addFlatRoof(scene, random, place, size, height, style);
  else if (style.roofKind === 'gable') addGable(scene, random, place, size, height, style);
  else addHip(scene, place, size, height, style);
  addDoor(scene, random, place, width, style);
  if (style.balconies) addBalconies(scene, random, place, size, style);
}

function addFlatRoof(
  scene: Scene,
  random: Random,
  place: Placement,
  { width, depth }: BuildingSize,
  height: number,
  style: BuildingStyle,
): void {
  const half = width / 2;
  const out = random.between(0.05, 0.5);
  addBox(
    scene,
    place,
    { from: [-half - out, height - 0.05, -out], to: [half + out, height + random.between(0.2, 0.9), depth + out] },
    style.trim,
  );
  for (let i = random.whole(0, 2); i > 0; i--) {
    const x = random.between(-half + 1.5, half - 1.5);
    const tall = random.between(1, 2.6);
    addBox(scene, place, { from: [x - 1, height, 2], to: [x + 1, height + tall, 4] }, style.plain);
  }
}

function addGable(
  scene: Scene,
  random: Random,
  place: Placement,
  size: BuildingSize,
  height: number,
  style: BuildingStyle,
): void {
  const { width, depth } = size;
  const half = width / 2;
  const eaves = 0.35;
  if (random.chance(0.3) && width < 11) {
    // The gable faces the viewer.
    const ridge = height + half * style.pitch;
    addPolygon(
      scene,
      [
        [-half, height, 0],
        [half, height, 0],
        [0, ridge, 0],
      ].map(([x, y, z]) => place.at(x, y, z)),
      style.plain,
    );
    for (const side of [-1, 1]) {
      const low = height - eaves * style.pitch;
      const corners: Vector[] = [
        [side * (half + eaves), low, -eaves],
        [side * (half + eaves), low, depth + eaves],
        [0, ridge, depth + eaves],
        [0, ridge, -eaves],
      ];
      addSlope(scene, place, corners, style.roof);
    }
    return;
  }
  const ridge = height + (depth / 2) * style.pitch;
  const low = height - eaves * style.pitch;
  const wide = half + 0.25;
  addSlope(
    scene,
    place,
    [
      [-wide, low, -eaves],
      [wide, low, -eaves],
      [wide, ridge, depth / 2],
      [-wide, ridge, depth / 2],
    ],
    style.roof,
  );
  addSlope(
    scene,
    place,
    [
      [wide, low, depth + eaves],
      [-wide, low, depth + eaves],
      [-wide, ridge, depth / 2],
      [wide, ridge, depth / 2],
    ],
    style.roof,
  );
  for (const x of [-half, half]) {
    const corners = [place.at(x, height, 0), place.at(x, height, depth), place.at(x, ridge, depth / 2)];
    addPolygon(scene, corners, style.plain);
  }
  addGutter(scene, place, wide, low, -eaves, style.trim);
  if (style.chimneys) addChimneys(scene, random, place, half, ridge, depth, style);
  if (random.chance(0.5)) addDormers(scene, random, place, half, { low, ridge, deep: depth / 2 + eaves, eaves }, style);
}

/** u runs along the eaves, v up the slope. */
function addSlope(scene: Scene, place: Placement, corners: readonly Vector[], look: Look): void {
  addPolygon(
    scene,
    corners.map(([x, y, z]) => place.at(x, y, z)),
    look,
  );
}

function addGutter(scene: Scene, place: Placement, half: number, y: number, z: number, look: Look): void {
  addCone(scene, place.at(-half, y, z - 0.05), place.at(half, y, z - 0.05), [0.07, 0.07], look);
  addCone(scene, place.at(half - 0.3, y, z + 0.28), place.at(half - 0.3, 0, z + 0.28), [0.05, 0.05], look);
}

function addChimneys(
  scene: Scene,
  random: Random,
  place: Placement,
  half: number,
  ridge: number,
  depth: number,
  style: BuildingStyle,
): void {
  for (let i = random.whole(1, 2); i > 0; i--) {
    const x = random.between(-half + 0.6, half - 0.6);
    const z = depth / 2 + random.between(-0.8, 0.8);
    const top = ridge + random.between(0.5, 1.2);
    addBox(scene, place, { from: [x - 0.35, ridge - 1.6, z - 0.35], to: [x + 0.35, top, z + 0.35] }, style.plain);
    addBox(scene, place, { from: [x - 0.42, top, z - 0.42], to: [x + 0.42, top + 0.12, z + 0.42] }, style.trim);
    addCone(scene, place.at(x, top, z), place.at(x, top + 0.45, z), [0.13, 0.11], style.roof);
  }
}

interface Slope {
  readonly low: number;
  readonly ridge: number;
  readonly deep: number;
  readonly eaves: number;
}

function addDormers(
  scene: Scene,
  random: Random,
  place: Placement,
  half: number,
  slope: Slope,
  style: BuildingStyle,
): void {
  const count = Math.max(1, Math.floor(half / 2.2));
  const rise = (slope.ridge - slope.low) / slope.deep;
  const z = slope.deep * random.between(0.2, 0.35) - slope.eaves;
  const y = slope.low + (z + slope.eaves) * rise;
  for (let i = 0; i < count; i++) {
    const x = ((i + 0.5) / count) * 2 * half - half;
    const tall = 1.35;
    addBox(scene, place, { from: [x - 0.65, y - 0.1, z], to: [x + 0.65, y + tall, z + tall / rise] }, style.plain, {
      front: style.front,
      bottom: null,
      back: null,
    });
    const top = y + tall;
    for (const side of [-1, 1]) {
      const edge = side * 0.85;
      addSlope(
        scene,
        place,
        [
          [x + edge, top - 0.1, z - 0.2],
          [x + edge, top - 0.1, z + tall / rise],
          [x, top + 0.5, z + (tall + 0.5) / rise],
          [x, top + 0.5, z - 0.2],
        ],
        style.roof,
      );
    }
    addPolygon(scene, [place.at(x - 0.65, top, z), place.at(x + 0.65, top, z), place.at(x, top + 0.42, z)], style.trim);
  }
}

function addHip(
  scene: Scene,
  place: Placement,
  { width, depth }: BuildingSize,
  height: number,
  style: BuildingStyle,
): void {
  const [half, eaves] = [width / 2 + 0.4, 0.4];
  const [near, far] = [-eaves, depth + eaves];
  const inset = Math.min(half, (far - near) / 2);
  const top = height + inset * style.pitch * 0.8;
  const [a, b]: Vector[] = [
    [-half + inset, top, (near + far) / 2],
    [half - inset, top, (near + far) / 2],
  ];
  addSlope(scene, place, [[-half, height, near], [half, height, near], b, a], style.roof);
  addSlope(scene, place, [[half, height, far], [-half, height, far], a, b], style.roof);
  addSlope(scene, place, [[half, height, near], [half, height, far], b], style.roof);
  addSlope(scene, place, [[-half, height, far], [-half, height, near], a], style.roof);
  addBox(scene, place, { from: [-half, height - 0.18, near], to: [half, height, far] }, style.trim);
}

function addDoor(scene: Scene, random: Random, place: Placement, width: number, style: BuildingStyle): void {
  const x = random.between(-0.3, 0.3) * width;
  const [half, tall] = [random.between(0.48, 0.85), random.between(2.05, 2.4)];
  addBox(scene, place, { from: [x - half - 0.14, 0, -0.12], to: [x + half + 0.14, tall + 0.18, 0] }, style.trim, {
    bottom: null,
  });
  addPolygon(
    scene,
    [
      place.at(x - half, 0.12, -0.13),
      place.at(x + half, 0.12, -0.13),
      place.at(x + half, tall, -0.13),
      place.at(x - half, tall, -0.13),
    ],
    style.door,
  );
  addBox(scene, place, { from: [x - half - 0.3, 0, -0.75], to: [x + half + 0.3, 0.13, 0] }, style.trim, {
    bottom: null,
  });
  if (random.chance(0.4))
    addBox(
      scene,
      place,
      { from: [x - half - 0.35, tall + 0.25, -0.9], to: [x + half + 0.35, tall + 0.35, 0] },
      style.trim,
    );
}

function addBalconies(
  scene: Scene,
  random: Random,
  place: Placement,
  { width, floors }: BuildingSize,
  style: BuildingStyle,
): void {
  const count = Math.max(1, Math.floor(width / 5));
  const solid = random.chance(0.4);
  for (let floor = 1; floor < floors; floor++) {
    for (let i = 0; i < count; i++) {
      const x = ((i + 0.5) / count - 0.5) * width;
      const y = floor * style.floorHeight;
      addBox(scene, place, { from: [x - 1.3, y - 0.05, -1.1], to: [x + 1.3, y + 0.1, 0] }, style.trim);
      if (solid) addBox(scene, place, { from: [x - 1.3, y + 0.1, -1.1], to: [x + 1.3, y + 1, -1.02] }, style.plain);
      else addRailing(scene, place, x, y, style.trim);
    }
  }
}

function addRailing(scene: Scene, place: Placement, x: number, y: number, look: Look): void {
  addCone(scene, place.at(x - 1.3, y + 1, -1.05), place.at(x + 1.3, y + 1, -1.05), [0.03, 0.03], look);
  for (let i = 0; i <= 10; i++) {
    const at = x - 1.3 + i * 0.26;
    addCone(scene, place.at(at, y + 0.1, -1.05), place.at(at, y + 1, -1.05), [0.015, 0.015], look);
  }
}
