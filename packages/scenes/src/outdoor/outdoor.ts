import { LABELS } from '../classes.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import type { Surroundings } from '../render/light.ts';
import type { Backdrop, Composition } from '../render/picture.ts';
import { addPolygon, createScene, type Scene } from '../render/scene.ts';
import { shadowMap } from '../render/shadow.ts';
import { cameraView } from '../render/view.ts';
import { ambientOf, clearSky, pickWeather, type Weather } from '../sky/atmosphere.ts';
import { type CloudForm, cloudySky } from '../sky/clouds.ts';
import { pickRanges, type Range, rangeAt, rangeColour } from '../sky/mountains.ts';
import type { Season } from '../things/species.ts';
import { grassColours, groundLooks, partAt } from './ground-plan.ts';
import { populate } from './population.ts';
import { pickSite } from './sites.ts';

/** An outdoor scene as a whole. */
export function composeOutdoor(random: Random, width: number, height: number): Composition {
  const weather = pickWeather(random.child('weather'));
  const season = random.pick<Season>(['spring', 'summer', 'summer', 'summer', 'autumn', 'autumn', 'winter']);
  const scene = createScene();
  const far = 2500;
  const plain = { label: LABELS.earth, material: () => {}, castsShadow: false };
  const corners: Vector[] = [
    [-far, 0, -far],
    [far, 0, -far],
    [far, 0, far],
    [-far, 0, far],
  ];
  addPolygon(scene, corners, plain);
  const colours = grassColours(random.child('grass'), season);
  const site = pickSite(scene, random.child('site'), { weather, season });
  const looks = groundLooks(random.child('ground'), site.plan, colours);
  populate(scene, random.child('population'), site, season, colours);
  const ground = { surface: 0, parts: looks, partAt: (x: number, z: number) => partAt(site.plan, x, z) };
  const view = cameraView(site.camera, width, height);
  const ambient = ambientOf(weather, [0.16, 0.15, 0.11]);
  const backdrop = backdropOf(random.child('backdrop'), weather, ambient, site.mountains);
  const surroundings = surroundingsOf(scene, weather, ambient, site.camera.position, view.forward);
  return { scene, view, ground, backdrop, surroundings, contact: 0.9 };
}

function surroundingsOf(
  scene: Scene,
  weather: Weather,
  ambient: Float64Array,
  eye: Vector,
  forward: Vector,
): Surroundings {
  const towards = weather.sun;
  const from = scale(towards, -1);
  const ahead = (metres: number): Vector => [eye[0] + forward[0] * metres, 0, eye[2] + forward[2] * metres];
  const overcast = weather.softness > 1;
  const maps = overcast
    ? [shadowMap(scene, [0.1, -1, 0.1], ahead(14), 22, 384)]
    : [shadowMap(scene, from, ahead(11), 13, 640), shadowMap(scene, from, ahead(50), 60, 768)];
  const sun = {
    towards: overcast ? ([0, 1, 0] as Vector) : towards,
    colour: weather.sunColour,
    shadows: maps,
    softness: weather.softness,
  };
  return {
    lights: [sun],
    ambient,
    fog: weather.fog,
    fogColour: (x, y, z, out) => clearSky(weather, x, Math.max(0.01, y), z, out),
    reflected: (x, y, z, _, out) => {
      clearSky(weather, x, Math.abs(y), z, out);
      // Clouds in few words; and the dark of the ground, of trees and walls low down.
      const dim = y < 0 ? 0.3 : y < 0.12 ? 0.55 : 1;
      for (let i = 0; i < 3; i++) out[i] *= dim;
    },
  };
}

function backdropOf(random: Random, weather: Weather, ambient: Float64Array, mountains: number): Backdrop {
  const ranges = pickRanges(random, mountains, weather.fog);
  const form: CloudForm = {
    size: random.between(0.35, 1.1),
    drawn: random.next() * random.next(),
    soft: random.next(),
  };
  return {
    labels: [LABELS.sky, ...ranges.map(() => LABELS.mountain)],
    partAt: (x, y, z) => 1 + rangeAt(ranges, x, y, z),
    colour: (part, ray, angle, out) => {
      if (part === 0) cloudySky(weather, form, ray.x, ray.y, ray.z, angle, out);
      else rangeColour(ranges[part - 1] as Range, weather, ambient, [ray.x, ray.y, ray.z], angle, out);
    },
  };
}
