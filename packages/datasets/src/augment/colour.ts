import type { RgbImage } from '@rass/images';

/** How strongly colours are changed; what is left out is left alone. */
export interface ColourChange {
  /** Added to each level. */
  readonly brightness?: number;
  /** What each level is multiplied by. */
  readonly contrast?: number;
  /** What saturation is multiplied by. */
  readonly saturation?: number;
  /** Added to the hue, in steps of two degrees. */
  readonly hue?: number;
  /** Contrast after saturation and hue rather than before. */
  readonly contrastLast?: boolean;
}

const LEVELS = 255;
const HUES = 180;
const SEXTANT = HUES / 6;
const SHIFT = 12;

/** Clipped, and cut to a whole number, as NumPy turns floats to bytes. */
const cut = (value: number): number => Math.trunc(Math.min(LEVELS, Math.max(0, value)));

/** OpenCV's tables: quotients of 12 bits after the point. */
const table = (numerator: number, factor: number): Int32Array =>
  Int32Array.from({ length: LEVELS + 1 }, (_, i) =>
    i === 0 ? 0 : Math.round((numerator * 2 ** SHIFT) / (factor * i)),
  );
const SATURATION = table(LEVELS, 1);
const HUE = table(HUES, 6);

/** @source OpenCV color_hsv RGB2HSV_b */
function toHsv(r: number, g: number, b: number): [number, number, number] {
  const value = Math.max(r, g, b);
  const range = value - Math.min(r, g, b);
  const half = 2 ** (SHIFT - 1);
  const saturation = (range * SATURATION[value]! + half) >> SHIFT;
  const turn = value === r ? g - b : value === g ? b - r + 2 * range : r - g + 4 * range;
  const hue = (turn * HUE[range]! + half) >> SHIFT;
  return [hue < 0 ? hue + HUES : hue, saturation, value];
}

/** @source OpenCV color_hsv HSV2RGB_b */
function toRgb(hue: number, saturation: number, value: number): [number, number, number] {
  if (saturation === 0) return [value, value, value];
  const [s, v, h] = [saturation / LEVELS, value / LEVELS, hue / SEXTANT];
  const sector = Math.floor(h) % 6;
  const part = h - Math.floor(h);
  const [p, q, t] = [v * (1 - s), v * (1 - s * part), v * (1 - s * (1 - part))];
  const sectors = [
    [v, t, p],
    [q, v, p],
    [p, v, t],
    [p, q, v],
    [t, p, v],
    [v, p, q],
  ] as const;
  const [r, g, b] = sectors[sector]!;
  return [Math.round(r * LEVELS), Math.round(g * LEVELS), Math.round(b * LEVELS)];
}

const linear = (data: Uint8Array, factor: number, sum: number): Uint8Array =>
  data.map((level) => cut(level * factor + sum));

function inHsv(data: Uint8Array, change: (hsv: [number, number, number]) => [number, number, number]): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) out.set(toRgb(...change(toHsv(data[i]!, data[i + 1]!, data[i + 2]!))), i);
  return out;
}

/** Changes an image's colours. @source Mask2Former ColorAugSSDTransform, on images in red, green and blue */
export function changeColours(image: RgbImage, change: ColourChange): RgbImage {
  const { brightness, contrast, saturation, hue, contrastLast = false } = change;
  let data = image.data;
  if (brightness !== undefined) data = linear(data, 1, brightness);
  if (contrast !== undefined && !contrastLast) data = linear(data, contrast, 0);
  if (saturation !== undefined) data = inHsv(data, ([h, s, v]) => [h, cut(s * saturation), v]);
  if (hue !== undefined) data = inHsv(data, ([h, s, v]) => [(h + hue + HUES) % HUES, s, v]);
  if (contrast !== undefined && contrastLast) data = linear(data, contrast, 0);
  return { ...image, data };
}

const BRIGHTNESS = 32;
const [LEAST, MOST] = [0.5, 1.5];
/** Either way, both ends among them: Python's randint, unlike NumPy's, has its upper end. */
const HUE_STEPS = 18;

/** Draws a change as SSD does: each part or not, by an even chance. `random`: the next number in [0, 1).
 * @source detectron2 ColorAugSSDTransform */
export function drawColourChange(random: () => number): ColourChange {
  const maybe = <T>(draw: () => T): T | undefined => (random() < 0.5 ? draw() : undefined);
  const between = (low: number, high: number): number => low + random() * (high - low);
  const brightness = maybe(() => between(-BRIGHTNESS, BRIGHTNESS));
  const contrastLast = random() < 0.5;
  const contrast = maybe(() => between(LEAST, MOST));
  const saturation = maybe(() => between(LEAST, MOST));
  const hue = maybe(() => Math.floor(random() * (2 * HUE_STEPS + 1)) - HUE_STEPS);
  return {
    ...(brightness !== undefined && { brightness }),
    ...(contrast !== undefined && { contrast }),
    ...(saturation !== undefined && { saturation }),
    ...(hue !== undefined && { hue }),
    contrastLast,
  };
}
