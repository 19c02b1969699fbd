import { LABELS } from '../classes.ts';
import { cloth, pickCloth, soft } from '../materials/cloth.ts';
import { cosine, sine } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { add, scale, subtract, unit, type Vector } from '../maths/vector.ts';
import { addBall, addCone, addEllipsoid, type Look, type Scene } from '../render/scene.ts';

export type Posture = 'standing' | 'walking' | 'sitting';

interface Dress {
  readonly skin: Look;
  readonly hair: Look;
  readonly top: Look;
  readonly legs: Look;
  readonly shoes: Look;
  readonly skirt: boolean;
  readonly longSleeves: boolean;
  readonly longHair: boolean;
  readonly build: number;
}

function pickDress(random: Random): Dress {
  const look = (material: Look['material']): Look => ({ label: LABELS.person, material });
  const skin = colourOf(random.between(0.04, 0.09), random.between(0.3, 0.5), random.between(0.32, 0.92));
  const hair = random.chance(0.8)
    ? scale([0.05, 0.035, 0.025], random.between(0.4, 4))
    : colourOf(0.1, random.between(0, 0.5), 0.7);
  return {
    skin: look(soft(skin, 9)),
    hair: look(soft(hair, 60, 0.05)),
    top: look(cloth(pickCloth(random, 0.5, 6))),
    legs: look(cloth({ ...pickCloth(random, 0.5, 6), pattern: 'plain' })),
    shoes: look(soft(scale([0.2, 0.18, 0.16], random.between(0.2, 3)), 20, 0.05)),
    skirt: random.chance(0.25),
    longSleeves: random.chance(0.55),
    longHair: random.chance(0.4),
    build: random.between(0.9, 1.15),
  };
}

/** Adds a person whose feet are on the place, `tall` metres high, facing the place's front. */
export function addPerson(scene: Scene, random: Random, place: Placement, tall: number, posture: Posture): void {
  const s = tall / 1.75;
  const dress = pickDress(random);
  const hips = posture === 'sitting' ? 0.5 : 0.93;
  const swing =
    posture === 'walking' ? random.between(0.3, 0.5) : posture === 'standing' ? random.between(-0.08, 0.08) : 0;
  const at = (x: number, y: number, z: number): Vector => place.at(x * s, y * s, z * s);
  const body: Body = { scene, random, dress, place, s, at, hips };
  for (const side of [-1, 1]) {
    addLeg(body, side, posture === 'sitting' ? 1.5 : side * swing, posture);
    addArm(
      body,
      side,
      posture === 'sitting' ? 0.7 : -side * swing * 0.9 + random.between(-0.1, 0.25),
      posture === 'walking' ? 0.5 : random.between(0.1, posture === 'sitting' ? 0.9 : 1.2),
    );
  }
  addTorso(body);
  addHead(body);
  if (dress.skirt && posture !== 'sitting')
    addCone(scene, at(0, hips + 0.08, 0), at(0, 0.48, 0), [0.15 * s, 0.27 * s], dress.top);
}

interface Body {
  readonly scene: Scene;
  readonly random: Random;
  readonly dress: Dress;
  readonly place: Placement;
  readonly s: number;
  readonly at: (x: number, y: number, z: number) => Vector;
  readonly hips: number;
}

/** @param angle of the thigh from straight down, forwards, in radians */
function addLeg(
  { scene, random, dress, s, at, hips, place }: Body,
  side: number,
  angle: number,
  posture: Posture,
): void {
  const bare = dress.skirt && posture !== 'sitting';
  const cover = bare ? dress.skin : dress.legs;
  const x = side * 0.095;
  const knee: [number, number] = [hips - 0.44 * cosine(angle), -0.44 * sine(angle)];
  const bent = posture === 'sitting' ? 0.05 : Math.max(0.02, angle < 0 ? -angle * 0.9 : 0.08);
  const lower = angle - bent - (posture === 'sitting' ? 1.4 : 0);
  const foot: [number, number] = [Math.max(0.07, knee[0] - 0.43 * cosine(lower)), knee[1] - 0.43 * sine(lower)];
  const b = dress.build;
  addCone(scene, at(x, hips, 0), at(x * 1.05, knee[0], knee[1]), [0.092 * s * b, 0.065 * s * b], cover);
  addBall(scene, at(x * 1.05, knee[0], knee[1]), 0.06 * s * b, cover);
  addCone(scene, at(x * 1.05, knee[0], knee[1]), at(x * 1.1, foot[0], foot[1]), [0.062 * s * b, 0.045 * s], cover);
  const long = scale(unit(place.towards(side * random.between(0, 0.35), 0, -1)), 0.13 * s);
  const wide = scale(unit([long[2], 0, -long[0]]), 0.05 * s);
  addEllipsoid(scene, at(x * 1.1, foot[0] - 0.025, foot[1] - 0.05), [wide, [0, 0.05 * s, 0], long], dress.shoes);
}

/** @param angle of the upper arm, forwards @param bent how much further the lower arm turns */
function addArm({ scene, random, dress, s, at, hips }: Body, side: number, angle: number, bent: number): void {
  const shoulder = hips + 0.49;
  const x = side * 0.19 * dress.build;
  const out = random.between(0.03, 0.09);
  const elbow: [number, number, number] = [x + side * out, shoulder - 0.28 * cosine(angle), -0.28 * sine(angle)];
  const hand: [number, number, number] = [
    x + side * out * 0.6,
    elbow[1] - 0.25 * cosine(angle + bent),
    elbow[2] - 0.25 * sine(angle + bent),
  ];
  addBall(scene, at(x, shoulder - 0.01, 0), 0.062 * s, dress.top);
  addCone(scene, at(x, shoulder, 0), at(...elbow), [0.062 * s, 0.045 * s], dress.top);
  const cover = dress.longSleeves ? dress.top : dress.skin;
  addBall(scene, at(...elbow), 0.044 * s, cover);
  addCone(scene, at(...elbow), at(...hand), [0.042 * s, 0.032 * s], cover);
  addBall(scene, at(...hand), 0.045 * s, dress.skin);
}

function addTorso({ scene, dress, s, at, hips, place }: Body): void {
  const b = dress.build;
  const axes = (wide: number, tall: number, deep: number) =>
    [
      scale(place.towards(1, 0, 0), wide * s * b),
      [0, tall * s, 0] as Vector,
      scale(place.towards(0, 0, 1), deep * s * b),
    ] as const;
  addEllipsoid(scene, at(0, hips + 0.03, 0), axes(0.17, 0.14, 0.125), dress.legs);
  addEllipsoid(scene, at(0, hips + 0.2, 0), axes(0.155, 0.22, 0.11), dress.top);
  addEllipsoid(scene, at(0, hips + 0.38, 0.01), axes(0.19, 0.19, 0.12), dress.top);
  addEllipsoid(scene, at(0, hips + 0.5, 0.01), axes(0.17, 0.06, 0.085), dress.top);
}

function addHead({ scene, random, dress, s, at, hips, place }: Body): void {
  const neck = at(0, hips + 0.52, 0.01);
  const turned = random.between(-0.5, 0.5);
  const front = place.towards(sine(turned), 0, -cosine(turned));
  const right: Vector = [-front[2], 0, front[0]];
  const centre = add(at(0, hips + 0.7, 0), scale(front, 0.02 * s));
  addCone(scene, neck, subtract(centre, [0, 0.05 * s, 0]), [0.055 * s, 0.05 * s], dress.skin);
  addEllipsoid(scene, centre, [scale(right, 0.075 * s), [0, 0.115 * s, 0], scale(front, 0.092 * s)], dress.skin);
  addBall(scene, add(centre, add(scale(front, 0.09 * s), [0, -0.015 * s, 0])), 0.018 * s, dress.skin);
  const crown = add(centre, add(scale(front, -0.022 * s), [0, 0.028 * s, 0]));
  addEllipsoid(scene, crown, [scale(right, 0.086 * s), [0, 0.105 * s, 0], scale(front, 0.095 * s)], dress.hair);
  if (dress.longHair) {
    const back = add(centre, add(scale(front, -0.055 * s), [0, -0.08 * s, 0]));
    addEllipsoid(scene, back, [scale(right, 0.085 * s), [0, 0.16 * s, 0], scale(front, 0.055 * s)], dress.hair);
  }
}
