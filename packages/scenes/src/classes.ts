/** A class of ADE20K's 150 that the scenes have. */
export interface SceneClass {
  readonly name: string;
  /** ADE20K's number, from 0. */
  readonly index: number;
  /** Colour by which ADE20K's maps are shown. */
  readonly colour: readonly [red: number, green: number, blue: number];
}

/** ADE20K's numbers, from 0, of what the scenes have. @source ADE20K's 150 classes, as mmsegmentation lists them */
export const LABELS = {
  building: 1,
  sky: 2,
  tree: 4,
  road: 6,
  grass: 9,
  sidewalk: 11,
  person: 12,
  earth: 13,
  door: 14,
  mountain: 16,
  plant: 17,
  car: 20,
  water: 21,
} as const;

/** The classes that the scenes have, in ADE20K's order: labels are places in this list. */
export const SCENE_CLASSES: readonly SceneClass[] = [
  { name: 'building', index: LABELS.building, colour: [180, 120, 120] },
  { name: 'sky', index: LABELS.sky, colour: [6, 230, 230] },
  { name: 'tree', index: LABELS.tree, colour: [4, 200, 3] },
  { name: 'road', index: LABELS.road, colour: [140, 140, 140] },
  { name: 'grass', index: LABELS.grass, colour: [4, 250, 7] },
  { name: 'sidewalk', index: LABELS.sidewalk, colour: [235, 255, 7] },
  { name: 'person', index: LABELS.person, colour: [150, 5, 61] },
  { name: 'earth', index: LABELS.earth, colour: [120, 120, 70] },
  { name: 'door', index: LABELS.door, colour: [8, 255, 51] },
  { name: 'mountain', index: LABELS.mountain, colour: [143, 255, 140] },
  { name: 'plant', index: LABELS.plant, colour: [204, 255, 4] },
  { name: 'car', index: LABELS.car, colour: [0, 102, 200] },
  { name: 'water', index: LABELS.water, colour: [61, 230, 250] },
];
