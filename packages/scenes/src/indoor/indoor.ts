import { carpet, pickWall, tiles } from '../materials/interior.ts';
import { plaster } from '../materials/masonry.ts';
import { boards, pickBoard } from '../materials/wood.ts';
import { colourOf, PALE, pickColour } from '../maths/colour.ts';
import type { Random } from '../maths/random.ts';
import { scale, unit, type Vector } from '../maths/vector.ts';
import type { Composition } from '../render/picture.ts';
import { createScene } from '../render/scene.ts';
import { type CameraPose, cameraView } from '../render/view.ts';
import { pickWeather, type Weather } from '../sky/atmosphere.ts';
import { furnish, type RoomKind } from './furnish.ts';
import { lightRoom } from './light.ts';
import { addOpenings, pickOpeningStyle, pickOpenings } from './openings.ts';
import { buildShell, createSides, type Opening, type Room, SHELL_LABELS } from './room.ts';
import { viewOut } from './view-out.ts';

const KINDS: readonly RoomKind[] = ['living', 'living', 'dining', 'bedroom', 'bedroom', 'kitchen', 'study', 'hall'];

/** An indoor scene as a whole. */
export function composeIndoor(random: Random, width: number, height: number): Composition {
  const scene = createScene();
  const kind = random.pick(KINDS);
  const room = pickRoom(random.child('room'));
  const pose = pickPose(random.child('pose'), room);
  const weather = sunThroughWindow(random.child('weather'), room);
  const night = random.chance(0.22);
  const day = night ? 0.03 : random.between(0.7, 1.2);
  const lit = night ? 1 : random.chance(0.35) ? random.between(0.3, 0.7) : 0;
  const looks = random.child('looks');
  const walls = wallColour(looks);
  const floor = looks.pick([boards, boards, boards, tiles, carpet])(looks);
  const wall = { label: SHELL_LABELS.wall, material: pickWall(looks, walls), castsShadow: false };
  const white = scale([0.78, 0.77, 0.74], looks.between(0.8, 1.05));
  buildShell(scene, room, {
    wall,
    floor: { label: SHELL_LABELS.floor, material: floor, castsShadow: false },
    ceiling: { label: SHELL_LABELS.ceiling, material: plaster(white, looks.between(0, 200), 0.1), castsShadow: false },
    trim: { ...wall, material: looks.chance(0.6) ? plaster(white, 3, 0.1) : pickBoard(looks) },
  });
  const glass = viewOut(random.child('view'), pose.position, weather, night ? 0.03 : 1.6 * day);
  addOpenings(scene, random.child('windows'), room, pickOpeningStyle(random.child('openings'), glass));
  const lamps = furnish(scene, random.child('furniture'), room, kind, lit);
  const surroundings = lightRoom(scene, room, { weather, day, lamps, walls, floor: [0.3, 0.24, 0.18] });
  const view = cameraView(pose, width, height);
  return { scene, view, backdrop: DARK, surroundings, contact: 0.55 };
}

/** Behind a room there is nothing: it is closed. */
const DARK: Composition['backdrop'] = {
  labels: [SHELL_LABELS.wall],
  partAt: () => 0,
  colour: (_, __, ___, out) => out.fill(0.02),
};

function pickRoom(random: Random): Room {
  const [width, depth] = [random.between(3.2, 6.5), random.between(3.6, 7.5)];
  const tall = random.between(2.4, 3.1);
  const bright = random.whole(0, 2);
  const kinds = (side: number): Opening['kind'][] => {
    const windows = side === bright ? random.whole(1, 2) : random.chance(0.25) ? 1 : 0;
    const doors = random.chance(side === 0 ? 0.4 : 0.25) ? 1 : 0;
    return [...Array<'door'>(doors).fill('door'), ...Array<'window'>(windows).fill('window')];
  };
  const openings = [width, depth, depth].map((length, side) => pickOpenings(random, length, tall, kinds(side)));
  return { width, depth, tall, sides: createSides(width, depth, openings) };
}

/** From near the front wall, straight on or from a corner. */
function pickPose(random: Random, { width, depth }: Room): CameraPose {
  const across = random.chance(0.4)
    ? random.between(-0.15, 0.15)
    : random.between(0.2, 0.4) * (random.chance(0.5) ? 1 : -1);
  const yaw = -across * random.between(0.7, 1.9) + random.between(-0.08, 0.08);
  const position: Vector = [
    across * width,
    random.between(1.15, 1.75),
    random.between(-0.9, Math.min(0.8, 0.2 * depth)),
  ];
  const pitch = random.between(-0.2, 0.02);
  return { position, yaw, pitch, roll: random.bell() * 0.006, focal: random.between(0.62, 1) };
}

/** Weather whose sun shines in at a window, from any side of it. */
function sunThroughWindow(random: Random, { sides }: Room): Weather {
  const weather = pickWeather(random);
  const side = sides.find(({ openings }) => openings.some(({ kind }) => kind === 'window')) ?? sides[0];
  const height = random.between(0.2, 0.9);
  const sun = unit(side.place.towards(random.between(-0.9, 0.9), height, 1));
  return { ...weather, sun };
}

function wallColour(random: Random): Vector {
  if (random.chance(0.6)) return pickColour(random, PALE);
  if (random.chance(0.6)) return colourOf(random.next(), random.between(0.1, 0.35), random.between(0.5, 0.9));
  return colourOf(random.next(), random.between(0.3, 0.65), random.between(0.25, 0.7));
}
