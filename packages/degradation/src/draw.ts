import { GAUSSIAN_KINDS, type GaussianKind, type KernelRecord } from './blur/kernel.ts';
import type { NoiseRecord } from './noise.ts';
import { type RandomStream, randomStream } from './random/random-stream.ts';
import type { DegradationRecord, RoundRecord } from './record.ts';
import { RESIZE_MODES, type ResizeRecord } from './resize.ts';
import type {
  BlurSettings,
  DegradationSettings,
  NoiseSettings,
  ResizeSettings,
  RoundSettings,
} from './settings/settings.ts';

/** Sinc filters below this size cut off at pi / 3 at the lowest, others at pi / 5. @source basicsr RealESRGANDataset */
const LARGE_SINC = 13;
const FINAL_SINC_CUTOFF = [Math.PI / 3, Math.PI] as const;

interface Size {
  readonly width: number;
  readonly height: number;
}

function drawKernel(random: RandomStream, settings: BlurSettings): KernelRecord {
  const size = random.pick(settings.sizes);
  if (random.chance(settings.sincProbability)) {
    return { kind: 'sinc', size, cutoff: random.between(Math.PI / (size < LARGE_SINC ? 3 : 5), Math.PI) };
  }
  // In one order, whatever the order in which settings have been written.
  const weights = Object.fromEntries(GAUSSIAN_KINDS.map((each) => [each, settings.kinds[each] ?? 0]));
  const kind = random.choose(weights as Record<GaussianKind, number>);
  const sigmaX = random.between(...settings.sigma);
  const round = !kind.includes('aniso');
  const sigmaY = round ? sigmaX : random.between(...settings.sigma);
  const angle = round ? 0 : random.between(-Math.PI, Math.PI);
  const plain = kind === 'iso' || kind === 'aniso';
  const shapes = kind.startsWith('plateau') ? settings.plateauShape : settings.generalizedShape;
  const shape = plain ? 1 : random.chance(0.5) ? random.between(shapes[0], 1) : random.between(1, shapes[1]);
  return { kind, size, sigmaX, sigmaY, angle, shape };
}

function drawFactor(random: RandomStream, { up, down, keep, range }: ResizeSettings): number {
  const direction = random.choose({ up, down, keep });
  if (direction === 'keep') return 1;
  return direction === 'up' ? random.between(1, range[1]) : random.between(range[0], 1);
}

function drawNoise(random: RandomStream, settings: NoiseSettings): NoiseRecord {
  const gaussian = random.chance(settings.gaussianProbability);
  const gray = random.chance(settings.grayProbability);
  const seed = random.bits() >>> 0;
  return gaussian
    ? { kind: 'gaussian', sigma: random.between(...settings.sigma), gray, seed }
    : { kind: 'poisson', scale: random.between(...settings.poissonScale), gray, seed };
}

/** A side in pixels; an image keeps a pixel at least. */
const side = (length: number): number => Math.max(1, Math.floor(length));

function drawRound(seed: number, name: string, settings: RoundSettings, size: (factor: number) => Size): RoundRecord {
  const stream = (part: string): RandomStream => randomStream(seed, `${name}/${part}`);
  const blur = stream('blur');
  const blurs = blur.chance(settings.blurProbability);
  const resize = stream('resize');
  const factor = drawFactor(resize, settings.resize);
  // The first round resizes by the factor, the second to a size: torch finds places differently.
  const byFactor = name === 'first' ? { factor } : {};
  return {
    blur: blurs ? drawKernel(blur, settings.blur) : null,
    resize: { mode: resize.pick(RESIZE_MODES), ...size(factor), ...byFactor },
    noise: drawNoise(stream('noise'), settings.noise),
    jpegQuality: stream('jpeg').between(...settings.jpegQuality),
  };
}

/** Draws all that a degradation of an image of a size needs. Each part has a stream of its own: a setting that changes one draw leaves
 * the others. @source basicsr 1.4.2 RealESRGANDataset and RealESRGANModel.feed_data */
export function drawDegradation(input: Size, settings: DegradationSettings, seed: number): DegradationRecord {
  const { width, height } = input;
  const { scale } = settings;
  const final = randomStream(seed, 'final');
  const to = (size: Size): ResizeRecord => ({ mode: final.pick(RESIZE_MODES), ...size });
  const jpegLast = final.chance(0.5);
  const resize = to({ width: side(width / scale), height: side(height / scale) });
  const sinc = final.chance(settings.finalSinc.probability)
    ? ({
        kind: 'sinc',
        size: final.pick(settings.finalSinc.sizes),
        cutoff: final.between(...FINAL_SINC_CUTOFF),
      } as const)
    : null;
  return {
    width,
    height,
    sharpen: settings.sharpen,
    first: drawRound(seed, 'first', settings.first, (factor) => ({
      width: side(width * factor),
      height: side(height * factor),
    })),
    second: drawRound(seed, 'second', settings.second, (factor) => ({
      width: side((width / scale) * factor),
      height: side((height / scale) * factor),
    })),
    final: { jpegLast, resize, sinc },
    resizeBack: settings.resizeBack ? to({ width, height }) : null,
  };
}
