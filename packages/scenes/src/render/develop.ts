import { clamp, cubeRoot } from '../maths/arithmetic.ts';

/** How light becomes a photograph. */
export interface Film {
  /** Mean brightness that the picture is exposed for, from 0 to 1, as shown. */
  readonly brightness: number;
  /** 1: as seen; more is more colourful. */
  readonly saturation: number;
  /** Factors of red, green and blue: the warmth of the picture. */
  readonly balance: readonly [number, number, number];
  /** Share of light that the corners lose. */
  readonly vignette: number;
  /** Light that the lens scatters over the picture, as a share of the mean: lifts the blacks. */
  readonly flare: number;
}

const STEPS = 4096;
let curve: Uint8Array | undefined;

/** Bytes for the square roots of light from 0 to 1: sRGB's curve. Made once. @source IEC 61966-2-1 */
function displayCurve(): Uint8Array {
  if (curve) return curve;
  curve = new Uint8Array(STEPS + 1);
  for (let i = 0; i <= STEPS; i++) {
    const light = (i / STEPS) * (i / STEPS);
    // x^(1 / 2.4) is the cube root of x^(5 / 4).
    const shown = light <= 0.0031308 ? 12.92 * light : 1.055 * cubeRoot(light * Math.sqrt(Math.sqrt(light))) - 0.055;
    curve[i] = Math.round(255 * clamp(shown, 0, 1));
  }
  return curve;
}

/** Film's answer to light: a soft toe, a long shoulder. @source Narkowicz 2016, a fit to the ACES reference */
function answer(light: number): number {
  return clamp((light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14), 0, 1);
}

/** Exposes and develops: linear light to bytes. */
export function develop(light: Float32Array, width: number, height: number, film: Film): Uint8Array {
  const exposure = exposureFor(light, film.brightness);
  const bytes = new Uint8Array(light.length);
  const shown = displayCurve();
  const lift = film.flare * 0.2;
  const reach = Math.max(width, height) / 2;
  const { saturation, balance } = film;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [dx, dy] = [(x + 0.5 - width / 2) / reach, (y + 0.5 - height / 2) / reach];
      const bright = exposure * (1 - film.vignette * (dx * dx + dy * dy) * 0.5);
      const at = 3 * (y * width + x);
      const red = light[at] * bright * balance[0] + lift;
      const green = light[at + 1] * bright * balance[1] + lift;
      const blue = light[at + 2] * bright * balance[2] + lift;
      const grey = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      bytes[at] = shown[Math.round(STEPS * Math.sqrt(answer(Math.max(0, grey + (red - grey) * saturation))))];
      bytes[at + 1] = shown[Math.round(STEPS * Math.sqrt(answer(Math.max(0, grey + (green - grey) * saturation))))];
      bytes[at + 2] = shown[Math.round(STEPS * Math.sqrt(answer(Math.max(0, grey + (blue - grey) * saturation))))];
    }
  }
  return bytes;
}

/** The factor at which the picture, as shown, has about the mean that is wanted: found by halving. */
function exposureFor(light: Float32Array, brightness: number): number {
  // Some thousand pixels tell enough.
  const pixels = light.length / 3;
  const stride = Math.max(1, Math.floor(pixels / 2048));
  let [low, high] = [0.02, 50];
  for (let i = 0; i < 14; i++) {
    const middle = Math.sqrt(low * high);
    let [sum, count] = [0, 0];
    for (let pixel = 0; pixel < pixels; pixel += stride) {
      const grey = 0.2126 * light[3 * pixel] + 0.7152 * light[3 * pixel + 1] + 0.0722 * light[3 * pixel + 2];
      sum += Math.sqrt(answer(grey * middle));
      count++;
    }
    if (sum / count < brightness) low = middle;
    else high = middle;
  }
  return Math.sqrt(low * high);
}
