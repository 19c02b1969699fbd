import { arcTangent, clamp, mix, smoothStep, TURN } from '../maths/arithmetic.ts';
import { octaves, ridges } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { between, scale, type Vector } from '../maths/vector.ts';
import type { Weather } from './atmosphere.ts';

const PROFILE = 8192;

/** One range of mountains, as a height above the horizon for each heading. */
export interface Range {
  /** Slope of the line of sight to its crest, around the whole horizon. */
  readonly crest: Float32Array;
  readonly rock: Vector;
  readonly wood: Vector;
  /** Slope above which there is snow. */
  readonly snow: number;
  /** Share of its colour that the air leaves. */
  readonly clear: number;
  readonly seed: number;
  readonly steep: number;
}

/** Ranges from the nearest to the farthest. */
export function pickRanges(random: Random, count: number, fog: number): Range[] {
  const rock = scale([0.3, 0.27, 0.25], random.between(0.5, 1.1));
  const wood = random.pick<Vector>([
    [0.05, 0.09, 0.035],
    [0.1, 0.12, 0.04],
    [0.16, 0.13, 0.06],
    [0.04, 0.06, 0.04],
  ]);
  const alpine = random.chance(0.45);
  const tall = alpine ? random.between(0.14, 0.34) : random.between(0.05, 0.14);
  return Array.from({ length: count }, (_, i) => {
    const height = tall * (0.45 + (0.55 * (i + 1)) / count);
    const seed = random.between(0, 200);
    const steep = alpine ? 1 : 0.35;
    const snow = alpine ? height * random.between(0.35, 0.9) : 9;
    const clear = clamp(1 / (1 + (0.25 + 450 * fog) * (0.6 + 0.9 * i)), 0.06, 0.92);
    return { crest: crestOf(random, seed, height, steep), rock, wood, snow, clear, seed, steep };
  });
}

function crestOf(random: Random, seed: number, height: number, steep: number): Float32Array {
  const wave = random.between(2.2, 4.5) * (0.6 + 0.6 * steep);
  const rough = mix(0.38, 0.5, steep);
  return Float32Array.from({ length: PROFILE }, (_, i) => {
    const at = (i / PROFILE) * TURN * wave;
    const form =
      steep > 0.5 ? ridges(at + seed, 3, 8, 0, rough) * 1.35 - 0.25 : 0.5 + 0.5 * octaves(at + seed, 3, 8, 0, rough);
    return Math.max(0.005, height * form);
  });
}

function crestAt({ crest }: Range, heading: number): number {
  const at = (heading / TURN + 0.5) * (PROFILE - 1);
  const cell = clamp(Math.floor(at), 0, PROFILE - 2);
  return crest[cell] + (crest[cell + 1] - crest[cell]) * (at - cell);
}

/** Which range a direction meets first; -1 for none. */
export function rangeAt(ranges: readonly Range[], x: number, y: number, z: number): number {
  if (ranges.length === 0) return -1;
  const flat = Math.sqrt(x * x + z * z);
  const heading = arcTangent(x, z);
  for (let i = 0; i < ranges.length; i++) if (y / flat < crestAt(ranges[i], heading)) return i;
  return -1;
}

/** The light of a range in a direction. Writes red, green and blue. */
export function rangeColour(
  range: Range,
  weather: Weather,
  ambient: Float64Array,
  direction: Vector,
  angle: number,
  out: Float64Array,
) {
  const [x, y, z] = direction;
  const heading = arcTangent(x, z);
  const slope = y / Math.sqrt(x * x + z * z);
  const below = crestAt(range, heading) - slope;
  const [a, b] = [heading * 14 + range.seed, slope * 20];
  const creases = (at: number, up: number): number => ridges(at + 0.6 * up, up, 6, angle * 16, 0.55);
  const here = creases(a, b);
  const right = creases(a + 0.12, b);
  // Faces turn with the creases; light from the left falls on what rises to the right.
  const turned = (here - right) * (0.8 + 2.2 * range.steep);
  const { sun, sunColour, horizon } = weather;
  const lit = clamp(0.35 + 0.4 * sun[1] - turned * sun[0] * 1.6 - 0.25 * sun[2], 0.02, 1.2);
  const patch = octaves(a * 1.7, b * 1.7 + 60, 5, angle * 28, 0.6);
  const wooded = smoothStep(0.25, -0.3, slope / (range.snow < 2 ? range.snow : 0.16) - 0.7 + 0.5 * patch);
  const fine = octaves(a * 16, b * 16, 3, angle * 260, 0.7);
  let colour = scale(
    between(range.rock, range.wood, wooded),
    Math.max(0.3, 0.75 + 0.4 * patch + 0.35 * fine + 0.35 * (here - 0.5)),
  );
  const snowed =
    smoothStep(-0.02, 0.035, slope - range.snow + 0.05 * patch + 0.06 * (here - 0.5)) *
    smoothStep(-0.5, 0.2, 0.3 - turned);
  if (snowed > 0) colour = between(colour, [0.82, 0.84, 0.88], snowed);
  const clear = range.clear * mix(0.82, 1, smoothStep(0, 0.06, below + 0.5 * slope));
  for (let i = 0; i < 3; i++) {
    const light = colour[i] * (sunColour[i] * lit + ambient[i] + 0.4 * ambient[6 + i]);
    out[i] = mix(mix(horizon[i], weather.zenith[i], 0.35) * 0.85, light, clear);
  }
}
