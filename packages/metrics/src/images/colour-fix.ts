import { checkImages, type Image } from './image.ts';

/** An image of whole numbers. */
export interface ByteImage extends Image {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

const EPSILON = 1e-5;
/** Low frequencies are what five blurs, each twice as wide, leave. @source StableSR wavelet_color_fix */
const LEVELS = 5;
const KERNEL = [0.25, 0.5, 0.25];

const planeOf = ({ channels, data, width, height }: Image, c: number): Float64Array =>
  Float64Array.from({ length: width * height }, (_, i) => data[i * channels + c]);

function fromPlanes(image: Image, planes: readonly Float64Array[]): ByteImage {
  const { width, height, channels, data } = image;
  const out = new Uint8ClampedArray(data.length);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < channels; c++)
      out[i * channels + c] = c < planes.length ? Math.round(planes[c][i]) : data[i * channels + c];
  }
  return { width, height, channels, data: out };
}

function moments(plane: Float64Array): { mean: number; deviation: number } {
  const mean = plane.reduce((a, b) => a + b, 0) / plane.length;
  const squares = plane.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  // In units of [0, 1] the variance is kept from zero by 1e-5; the divisor is that of a sample.
  return { mean, deviation: Math.sqrt(squares / Math.max(1, plane.length - 1) + EPSILON * 255 ** 2) };
}

/** A restored image with the mean and the deviation of each colour of another one, such as the image before restoration.
 * @throws when the images have other sizes @source StableSR, OSEDiff adain_color_fix */
export function adainColourFix(image: Image, style: Image): ByteImage {
  checkImages('adainColourFix', image, style);
  const planes = Array.from({ length: Math.min(image.channels, 3) }, (_, c) => {
    const [own, wanted] = [planeOf(image, c), planeOf(style, c)];
    const [from, to] = [moments(own), moments(wanted)];
    return own.map((value) => ((value - from.mean) / from.deviation) * to.deviation + to.mean);
  });
  return fromPlanes(image, planes);
}

/** Three taps so far apart, the edge's values repeated. */
function blurred(plane: Float64Array, width: number, height: number, reach: number): Float64Array {
  const along = (source: Float64Array, count: number, step: number, lines: number, lineStep: number): Float64Array => {
    const out = new Float64Array(source.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        let sum = 0;
        for (let k = -1; k <= 1; k++) {
          const at = Math.min(count - 1, Math.max(0, i + k * reach));
          sum += KERNEL[k + 1] * source[line * lineStep + at * step];
        }
        out[line * lineStep + i * step] = sum;
      }
    }
    return out;
  };
  return along(along(plane, width, 1, height, width), height, width, width, 1);
}

function lowFrequencies(plane: Float64Array, width: number, height: number): Float64Array {
  let low = plane;
  for (let level = 0; level < LEVELS; level++) low = blurred(low, width, height, 2 ** level);
  return low;
}

/** A restored image's details on the colours of another one, such as the image before restoration.
 * @throws when the images have other sizes @source StableSR, OSEDiff wavelet_color_fix */
export function waveletColourFix(image: Image, style: Image): ByteImage {
  checkImages('waveletColourFix', image, style);
  const { width, height } = image;
  const planes = Array.from({ length: Math.min(image.channels, 3) }, (_, c) => {
    const own = planeOf(image, c);
    const low = lowFrequencies(own, width, height);
    const wanted = lowFrequencies(planeOf(style, c), width, height);
    return own.map((value, i) => value - low[i] + wanted[i]);
  });
  return fromPlanes(image, planes);
}
