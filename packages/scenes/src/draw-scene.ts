import { IGNORED, SCENE_CLASSES } from './classes.ts';
import { composeIndoor } from './indoor/indoor.ts';
import { createRandom, type Random } from './maths/random.ts';
import { composeOutdoor } from './outdoor/outdoor.ts';
import { develop, type Film } from './render/develop.ts';
import { exposePicture } from './render/picture.ts';

const KINDS = { outdoor: composeOutdoor, indoor: composeIndoor } as const;
export type SceneKind = keyof typeof KINDS;
export const SCENE_KINDS = Object.keys(KINDS) as readonly SceneKind[];

/** Which scene, and how large. */
export interface SceneOptions {
  /** A whole number from 0; each is another scene. */
  readonly seed: number;
  /** In pixels, from 16 to 4096. */
  readonly width: number;
  readonly height: number;
  /** Outdoors or indoors; by the seed if left out, half of them each. */
  readonly kind?: SceneKind;
}

/** A picture with its labels. */
export interface DrawnScene {
  /** Red, green and blue from 0 to 255, interleaved, row by row. */
  readonly image: { readonly width: number; readonly height: number; readonly data: Uint8Array };
  /** Places in SCENE_CLASSES, row by row: of what fills most of a pixel. IGNORED where that is of no class, such as a vase. */
  readonly labels: { readonly width: number; readonly height: number; readonly data: Uint8Array };
}

const SMALLEST = 16;
const LARGEST = 4096;

/** From ADE20K's numbers, which surfaces carry, to places in SCENE_CLASSES. */
const PLACES = new Uint8Array(256).fill(IGNORED);
SCENE_CLASSES.forEach(({ index }, place) => {
  PLACES[index] = place;
});

function check({ seed, width, height, kind }: SceneOptions): void {
  if (!(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new Error(`drawScene: a seed is a whole number from 0; got ${seed}; give one, such as 0`);
  }
  if (kind !== undefined && !SCENE_KINDS.includes(kind)) {
    throw new Error(`drawScene: a kind is one of ${SCENE_KINDS.join(', ')}; got ${kind}; leave it out for either`);
  }
  for (const side of [width, height]) {
    if (Number.isInteger(side) && side >= SMALLEST && side <= LARGEST) continue;
    throw new Error(
      `drawScene: sides are whole numbers from ${SMALLEST} to ${LARGEST}; got ${width} x ${height}; draw it at such a size`,
    );
  }
}

/** Exposure and colours of a camera. */
function drawFilm(random: Random): Film {
  return {
    brightness: random.between(0.5, 0.66),
    saturation: random.between(0.85, 1.25),
    balance: [1 + 0.06 * random.bell(), 1, 1 - 0.06 * random.bell()],
    vignette: random.between(0, 0.3),
    flare: random.between(0, 0.04),
  };
}

/** Draws the scene of a seed: streets, parks, yards, fields and shores with buildings, trees, cars and people, lit by sun and sky; or a living
 * room, bedroom, kitchen or hall, lit by lamps and windows. The same seed, kind and size give the same bytes on every machine; at another size of the same
 * proportions it is the same scene. @throws on a seed, a size or a kind that is none */
export function drawScene(options: SceneOptions): DrawnScene {
  check(options);
  const { seed, width, height } = options;
  const random = createRandom(seed, 'scene');
  const kind = options.kind ?? (random.chance(0.5) ? 'outdoor' : 'indoor');
  const composition = KINDS[kind](random.child(kind), width, height);
  const { light, labels } = exposePicture(composition, width, height);
  const data = new Uint8Array(develop(light, width, height, drawFilm(random.child('film'))));
  return {
    image: { width, height, data },
    labels: { width, height, data: labels.map((number) => PLACES[number]) },
  };
}
