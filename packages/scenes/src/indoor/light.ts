import { clamp } from '../maths/arithmetic.ts';
import { scale, type Vector } from '../maths/vector.ts';
import type { Light, Surroundings } from '../render/light.ts';
import type { Scene } from '../render/scene.ts';
import { type ShadowMap, shadowMap } from '../render/shadow.ts';
import type { Weather } from '../sky/atmosphere.ts';
import { type Opening, RECESS, type Room, type Side } from './room.ts';

/** How a room is lit. */
export interface Lighting {
  readonly weather: Weather;
  /** Of the day outside: 1 at noon, near 0 at night. */
  readonly day: number;
  readonly lamps: readonly { readonly at: Vector; readonly strength: number }[];
  /** Mean colour of the walls, which all light takes on. */
  readonly walls: Vector;
  readonly floor: Vector;
}

const LAMP: Vector = [1, 0.74, 0.46];
const TEXELS = 320;

interface Pane {
  readonly side: Side;
  readonly opening: Opening;
}

export function lightRoom(scene: Scene, room: Room, lighting: Lighting): Surroundings {
  const panes = room.sides.flatMap((side) =>
    side.openings.filter(({ kind }) => kind === 'window').map((opening) => ({ side, opening })),
  );
  const reach = 0.62 * Math.max(room.width, room.depth) + 0.5;
  const centre: Vector = [0, 0.5, room.depth / 2];
  const map = (direction: Vector): ShadowMap => shadowMap(scene, direction, centre, reach, TEXELS);
  const lights: Light[] = lighting.lamps.map(({ at, strength }) => ({
    at,
    colour: scale(LAMP, strength),
    shadows: [],
    softness: 0.25,
  }));
  const down = map([0.02, -1, 0.03]);
  for (const [i, light] of lights.entries()) {
    // What hangs high shines down on all; a lamp that stands lights what is around it.
    if ((light.at as Vector)[1] > 1.7) lights[i] = { ...light, shadows: [down] };
  }
  if (lighting.day > 0.02) lights.push(...windowLights(panes, lighting, map));
  return {
    lights,
    ambient: ambientOf(room, panes, lighting),
    reflected: (_, y, __, ___, out) => {
      const level = 0.3 * lighting.day + 0.12 * lighting.lamps.length;
      for (let i = 0; i < 3; i++) out[i] = level * (y > 0 ? lighting.walls[i] : lighting.floor[i]);
    },
    fog: 0,
    fogColour: () => {},
  };
}

/** Each window as a light, and the sun that falls through all of them. */
function windowLights(panes: readonly Pane[], lighting: Lighting, map: (direction: Vector) => ShadowMap): Light[] {
  const { weather, day } = lighting;
  const lights: Light[] = panes.map(({ side, opening }) => {
    const { left, right, bottom, top } = opening;
    const area = (right - left) * (top - bottom);
    const inward = side.place.towards(0, 0, -1);
    const sky = [0, 1, 2].map((i) => 0.5 * (weather.zenith[i] + weather.horizon[i]) + 0.12 * weather.sunColour[i]);
    return {
      at: side.place.at((left + right) / 2, (bottom + top) / 2, 0.1),
      facing: inward,
      colour: scale(sky as unknown as Vector, 0.62 * area * day),
      shadows: [map([inward[0], -0.55, inward[2]])],
      softness: 0.3,
    };
  });
  const { sun } = weather;
  const open = panes.filter(({ side }) => {
    const out = side.place.towards(0, 0, 1);
    return out[0] * sun[0] + out[2] * sun[2] > 0.1;
  });
  if (open.length === 0 || weather.softness > 1) return lights;
  const gate = (x: number, y: number, z: number): number => {
    let share = 0;
    for (const pane of open) share += throughPane(pane, sun, x, y, z);
    return Math.min(1, share);
  };
  const colour = scale(weather.sunColour, 0.9 * day);
  return [...lights, { towards: sun, colour, shadows: [map(scale(sun, -1))], softness: 0.03, gate }];
}

/** How much of the sun a place gets through a window: 1 where its ray passes the glass, with a soft edge. */
function throughPane({ side, opening }: Pane, sun: Vector, x: number, y: number, z: number): number {
  const { at, towards } = side.place;
  const out = towards(0, 0, 1);
  const along = towards(1, 0, 0);
  const origin = at(0, 0, RECESS);
  const slope = sun[0] * out[0] + sun[2] * out[2];
  const away = ((origin[0] - x) * out[0] + (origin[2] - z) * out[2]) / slope;
  if (away < 0) return 0;
  const px = (x + sun[0] * away - origin[0]) * along[0] + (z + sun[2] * away - origin[2]) * along[2];
  const py = y + sun[1] * away;
  const soft = 0.012 + 0.012 * away;
  const inner = Math.min(px - opening.left, opening.right - px, py - opening.bottom, opening.top - py);
  return clamp(inner / soft + 0.5, 0, 1);
}

/** Light that walls, floor and ceiling hand on: most from where windows are not, for they lie opposite to what is lit. */
function ambientOf(room: Room, panes: readonly Pane[], { weather, day, lamps, walls, floor }: Lighting): Float64Array {
  const ambient = new Float64Array(12);
  const glass = panes.reduce((sum, { opening: o }) => sum + (o.right - o.left) * (o.top - o.bottom), 0);
  const bare = room.width * room.depth;
  const strength = lamps.reduce((sum, lamp) => sum + lamp.strength, 0);
  for (let i = 0; i < 3; i++) {
    const sky = 0.5 * (weather.zenith[i] + weather.horizon[i]) + 0.15 * weather.sunColour[i];
    const level = 0.04 + day * sky * clamp(1.1 * (glass / bare), 0.05, 0.4) + (1.1 * LAMP[i] * strength) / bare;
    const tone = level * (0.35 + 0.65 * walls[i]);
    ambient[i] = tone;
    // The ceiling gets what the floor sends up, the floor what comes from a white ceiling.
    ambient[6 + i] = tone * (0.12 - 0.3 * floor[i]);
  }
  for (const { side, opening } of panes) {
    const out = side.place.towards(0, 0, 1);
    const share = ((opening.right - opening.left) * 0.12 * day) / Math.max(1, panes.length);
    for (let i = 0; i < 3; i++) {
      ambient[3 + i] += share * ambient[i] * out[0];
      ambient[9 + i] += share * ambient[i] * out[2];
    }
  }
  return ambient;
}
