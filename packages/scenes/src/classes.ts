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
  wall: 0,
  building: 1,
  sky: 2,
  floor: 3,
  tree: 4,
  ceiling: 5,
  road: 6,
  bed: 7,
  windowpane: 8,
  grass: 9,
  cabinet: 10,
  sidewalk: 11,
  person: 12,
  earth: 13,
  door: 14,
  table: 15,
  mountain: 16,
  plant: 17,
  curtain: 18,
  chair: 19,
  car: 20,
  water: 21,
  painting: 22,
  sofa: 23,
  lamp: 36,
} as const;

/** The label of what belongs to none of the classes, such as a vase: learning and measuring leave it out. */
export const IGNORED = 255;

const COLOURS: Record<keyof typeof LABELS, SceneClass['colour']> = {
  wall: [120, 120, 120],
  building: [180, 120, 120],
  sky: [6, 230, 230],
  floor: [80, 50, 50],
  tree: [4, 200, 3],
  ceiling: [120, 120, 80],
  road: [140, 140, 140],
  bed: [204, 5, 255],
  windowpane: [230, 230, 230],
  grass: [4, 250, 7],
  cabinet: [224, 5, 255],
  sidewalk: [235, 255, 7],
  person: [150, 5, 61],
  earth: [120, 120, 70],
  door: [8, 255, 51],
  table: [255, 6, 82],
  mountain: [143, 255, 140],
  plant: [204, 255, 4],
  curtain: [255, 51, 7],
  chair: [204, 70, 3],
  car: [0, 102, 200],
  water: [61, 230, 250],
  painting: [255, 6, 51],
  sofa: [11, 102, 255],
  lamp: [224, 255, 8],
};

/** The classes that the scenes have, in ADE20K's order: labels are places in this list. */
export const SCENE_CLASSES: readonly SceneClass[] = Object.entries(LABELS).map(([name, index]) => ({
  name,
  index,
  colour: COLOURS[name as keyof typeof LABELS],
}));
