import { clamp, cosine, mix, sine, smoothStep } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import type { Random } from '../maths/random.ts';
import { between, scale, type Vector } from '../maths/vector.ts';

const WEATHERS = ['clear', 'clear', 'fair', 'fair', 'cloudy', 'overcast', 'sunset', 'hazy', 'storm'] as const;

/** The sky at one hour of one day. */
export interface Weather {
  /** Towards the sun. */
  readonly sun: Vector;
  readonly sunColour: Vector;
  readonly zenith: Vector;
  readonly horizon: Vector;
  /** Colour of the sky around the sun, and how far it spreads. */
  readonly glow: Vector;
  readonly glowWidth: number;
  /** From -1, none, to 1, all. */
  readonly cover: number;
  readonly cloudLight: Vector;
  readonly cloudShade: Vector;
  /** Share of light lost per metre of air. */
  readonly fog: number;
  /** Width of shadows' edges in metres. */
  readonly softness: number;
  readonly seed: number;
}

export function pickWeather(random: Random): Weather {
  const kind = random.pick(WEATHERS);
  const low = kind === 'sunset';
  // Photographers have the sun beside or behind them, seldom in the picture.
  const height = low ? random.between(0.05, 0.24) : random.between(0.32, 0.9);
  const side = random.chance(0.5) ? 1 : -1;
  const heading = low && random.chance(0.5) ? random.between(0.1, 0.9) * side : random.between(0.75, 2.7) * side;
  const flat = Math.sqrt(1 - height * height);
  const sun: Vector = [flat * sine(heading), height, flat * cosine(heading)];
  const warm = smoothStep(0.65, 0.05, height);
  const strength = { clear: 3, fair: 2.9, cloudy: 2.2, overcast: 0.28, sunset: 2.1, hazy: 1.5, storm: 1.9 }[kind];
  const sunColour: Vector = [strength, strength * mix(0.95, 0.52, warm), strength * mix(0.86, 0.2, warm)];
  return { sun, sunColour, ...skyColours(random, kind, warm), ...air(random, kind), seed: random.between(0, 200) };
}

function skyColours(random: Random, kind: (typeof WEATHERS)[number], warm: number) {
  const blue = colourOf(random.between(0.56, 0.63), random.between(0.5, 0.8), random.between(0.7, 0.88));
  const grey = scale([0.62, 0.66, 0.72], random.between(0.7, 1.25));
  const pale: Vector = [0.75, 0.88, 1.05];
  const ember = colourOf(random.between(0.03, 0.12), random.between(0.3, 0.6), 1.05);
  const dusk = colourOf(random.between(0.58, 0.7), random.between(0.2, 0.5), random.between(0.5, 0.75));
  if (kind === 'overcast') {
    const dim = scale(grey, random.between(0.75, 1));
    return {
      zenith: dim,
      horizon: scale(grey, 1.25),
      glow: scale(grey, 0.3),
      glowWidth: 0.5,
      cloudLight: scale(grey, 1.3),
      cloudShade: scale(grey, 0.62),
    };
  }
  if (kind === 'storm') {
    const dark = scale([0.2, 0.24, 0.3], random.between(0.7, 1.2));
    return {
      zenith: dark,
      horizon: [0.7, 0.72, 0.74] as Vector,
      glow: [0.4, 0.38, 0.33] as Vector,
      glowWidth: 0.25,
      cloudLight: [0.8, 0.8, 0.82] as Vector,
      cloudShade: dark,
    };
  }
  if (kind === 'sunset') {
    return {
      zenith: dusk,
      horizon: scale(ember, 0.9),
      glow: scale(ember, 1.1),
      glowWidth: 0.3,
      cloudLight: between(ember, [1.4, 1, 0.8], 0.4),
      cloudShade: between(dusk, [0.3, 0.24, 0.28], 0.5),
    };
  }
  const milky = kind === 'hazy' ? 0.75 : kind === 'cloudy' ? 0.25 : 0.05;
  const zenith = between(blue, scale(pale, 0.8), milky);
  const horizon = between(scale(pale, 1.05), [1.1, 0.85, 0.62], 0.6 * warm);
  return {
    zenith,
    horizon,
    glow: [0.7, 0.62, 0.5] as Vector,
    glowWidth: 0.16,
    cloudLight: [1.7, 1.62, 1.52] as Vector,
    cloudShade: [0.66, 0.72, 0.82] as Vector,
  };
}

function air(random: Random, kind: (typeof WEATHERS)[number]): { cover: number; fog: number; softness: number } {
  switch (kind) {
    case 'clear':
      return { cover: random.between(-1, -0.35), fog: random.between(0.0002, 0.001), softness: 0.05 };
    case 'fair':
      return { cover: random.between(-0.25, 0.2), fog: random.between(0.0003, 0.0015), softness: 0.06 };
    case 'cloudy':
      return { cover: random.between(0.1, 0.5), fog: random.between(0.0005, 0.002), softness: 0.12 };
    case 'overcast':
      return { cover: random.between(0.5, 1), fog: random.between(0.001, 0.006), softness: 1.2 };
    case 'sunset':
      return { cover: random.between(-0.6, 0.35), fog: random.between(0.0003, 0.0014), softness: 0.08 };
    case 'storm':
      return { cover: random.between(0.4, 0.8), fog: random.between(0.0005, 0.002), softness: 0.1 };
    default:
      return {
        cover: random.between(-0.8, 0),
        fog: random.between(0.006, random.chance(0.4) ? 0.03 : 0.012),
        softness: 0.15,
      };
  }
}

/** The sky without clouds in a direction of length 1. Writes red, green and blue. */
export function clearSky(weather: Weather, x: number, y: number, z: number, out: Float64Array): void {
  const { sun, zenith, horizon, glow, glowWidth } = weather;
  const low = 1 - clamp(y, 0, 1);
  const square = low * low;
  const share = square * square * (0.55 + 0.45 * square);
  const towards = 1 - (x * sun[0] + y * sun[1] + z * sun[2]);
  const halo = 1 / (1 + (towards * towards) / (glowWidth * glowWidth * 0.3)) + 2.5 / (1 + 900 * towards);
  for (let i = 0; i < 3; i++) out[i] = mix(zenith[i], horizon[i], share) + glow[i] * halo * 0.6;
}

/** Light from all around under a sky, over a ground of a colour: see `Surroundings.ambient`. */
export function ambientOf(weather: Weather, ground: Vector): Float64Array {
  const ambient = new Float64Array(12);
  const covered = smoothStep(-0.3, 0.8, weather.cover);
  for (let i = 0; i < 3; i++) {
    const clear = 0.6 * weather.zenith[i] + 0.4 * weather.horizon[i];
    const cloud = 0.5 * (weather.cloudLight[i] + weather.cloudShade[i]);
    const above = 0.95 * mix(clear, cloud, covered) + 0.06 * weather.glow[i];
    const below = ground[i] * (above + weather.sunColour[i] * weather.sun[1] * 0.8);
    ambient[i] = (above + below) / 2;
    ambient[6 + i] = (above - below) / 2;
    ambient[3 + i] = 0.12 * weather.glow[i] * weather.sun[0];
    ambient[9 + i] = 0.12 * weather.glow[i] * weather.sun[2];
  }
  return ambient;
}
