import { emptyPlanar, type PlanarImage, roundEven } from '../image.ts';
import { cosineTransform, inverseCosineTransform, TRANSFORM_SCALE } from './cosine-transform.ts';

// biome-ignore-start format: tables, as the standard prints them
/** Steps of brightness. @source the JPEG standard's annex K */
const BRIGHTNESS_STEPS = [
  16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
  87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
  72, 92, 95, 98, 112, 100, 103, 99,
];
const COLOUR_STEPS = [
  17,
  18,
  24,
  47,
  99,
  99,
  99,
  99,
  18,
  21,
  26,
  66,
  99,
  99,
  99,
  99,
  24,
  26,
  56,
  99,
  99,
  99,
  99,
  99,
  47,
  66,
  99,
  99,
  99,
  99,
  99,
  99,
  ...new Array<number>(32).fill(99),
];
// biome-ignore-end format: tables

/** Sides of what is compressed are multiples of it: blocks of 8, of colours at half the size. */
const TILE = 16;

/** What the tables are multiplied by. @source basicsr 1.4.2 quality_to_factor */
const stepFactor = (quality: number): number => (quality < 50 ? 50 / quality : 2 - quality / 50);

interface Plane {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** Compresses and decompresses a plane in place; its numbers are levels around 0. */
function quantize({ width, height, data }: Plane, table: readonly number[], factor: number): void {
  // basicsr lays the table down on its side: rows of frequencies have the standard's columns. What it trained has seen just that.
  const steps = Float64Array.from(table, (_, i) => table[(i & 7) * 8 + (i >> 3)] * factor);
  // At quality 100 steps are 0 and nothing is rounded.
  const inward = Float64Array.from(steps, (step, i) => TRANSFORM_SCALE[i] / (factor > 0 ? step : 1));
  const outward = Float64Array.from(steps, (step, i) => TRANSFORM_SCALE[i] * (factor > 0 ? step : 1));
  const block = new Float64Array(64);
  for (let top = 0; top < height; top += 8) {
    for (let left = 0; left < width; left += 8) {
      for (let i = 0; i < 64; i++) block[i] = data[(top + (i >> 3)) * width + left + (i & 7)];
      cosineTransform(block);
      for (let i = 0; i < 64; i++) {
        const share = block[i] * inward[i];
        block[i] = (factor > 0 ? roundEven(share) : share) * outward[i];
      }
      inverseCosineTransform(block);
      for (let i = 0; i < 64; i++) data[(top + (i >> 3)) * width + left + (i & 7)] = block[i];
    }
  }
}

interface Ycc {
  readonly y: Plane;
  readonly cb: Plane;
  readonly cr: Plane;
}

/** Brightness around 0, and the colours at half the size; what is missing to whole tiles is black. */
function toYcc({ width, height, data }: PlanarImage): Ycc {
  const [w, h] = [width, height].map((side) => Math.ceil(side / TILE) * TILE);
  const pixels = width * height;
  // Black is 128 below the middle.
  const y = new Float32Array(w * h).fill(-128);
  const [cb, cr] = [0, 1].map(() => new Float32Array((w * h) / 4));
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      // In float32, where levels of 255 are whole again.
      const red = Math.fround(255 * data[at]);
      const green = Math.fround(255 * data[pixels + at]);
      const blue = Math.fround(255 * data[2 * pixels + at]);
      y[row * w + column] = 0.299 * red + 0.587 * green + 0.114 * blue - 128;
      const half = (row >> 1) * (w / 2) + (column >> 1);
      cb[half] += (-0.168736 * red - 0.331264 * green + 0.5 * blue) / 4;
      cr[half] += (0.5 * red - 0.418688 * green - 0.081312 * blue) / 4;
    }
  }
  const plane = (planeData: Float32Array, part: number): Plane => ({
    width: w / part,
    height: h / part,
    data: planeData,
  });
  return { y: plane(y, 1), cb: plane(cb, 2), cr: plane(cr, 2) };
}

const unit = (level: number): number => (level < 0 ? 0 : level > 255 ? 1 : level / 255);

function fromYcc({ y, cb, cr }: Ycc, width: number, height: number): PlanarImage {
  const out = emptyPlanar(width, height);
  const pixels = width * height;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const half = (row >> 1) * cb.width + (column >> 1);
      const bright = y.data[row * y.width + column] + 128;
      out.data[at] = unit(bright + 1.402 * cr.data[half]);
      out.data[pixels + at] = unit(bright - 0.344136 * cb.data[half] - 0.714136 * cr.data[half]);
      out.data[2 * pixels + at] = unit(bright + 1.772 * cb.data[half]);
    }
  }
  return out;
}

/** What JPEG at a quality leaves of an image of numbers from 0 to 1, without the rounding to levels that a file has. Qualities are from
 * above 0 to 100 and need not be whole.
 * @throws when the quality is another
 * @source basicsr 1.4.2 DiffJPEG(differentiable=False); golden/degradation/jpeg */
export function jpeg(image: PlanarImage, quality: number): PlanarImage {
  if (!(quality > 0 && quality <= 100)) {
    throw new Error(`jpeg: the quality is above 0 and at most 100; got ${quality}; give such as 75`);
  }
  const factor = stepFactor(quality);
  const { y, cb, cr } = toYcc(image);
  quantize(y, BRIGHTNESS_STEPS, factor);
  quantize(cb, COLOUR_STEPS, factor);
  quantize(cr, COLOUR_STEPS, factor);
  return fromYcc({ y, cb, cr }, image.width, image.height);
}
