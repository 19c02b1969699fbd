import type { Colour, RgbImage } from './image.ts';

const OPAQUE = 255;
const HALF = 127;
const RGB = 3;

/** What shows through where nothing else is said: most pages and papers are white. */
export const WHITE: Colour = [255, 255, 255];

/** An image laid on a background, opaque. @source Pillow Image.alpha_composite */
export function flatten(image: RgbImage, background: Colour = WHITE): RgbImage {
  const { width, height, data: colours, alpha } = image;
  if (alpha === undefined) return image;
  const data = new Uint8Array(colours.length);
  for (let i = 0; i < alpha.length; i++) {
    const own = alpha[i]!;
    // Half of 255 more, cut: rounded.
    for (let c = 0, at = RGB * i; c < RGB; c++, at++) {
      data[at] = (colours[at]! * own + background[c]! * (OPAQUE - own) + HALF) / OPAQUE;
    }
  }
  return { width, height, data };
}

/** The opposite of flatten: the image with this alpha that looks as `flat` does on the background. Where nothing shows it is the background. */
export function unflatten(flat: RgbImage, alpha: Uint8Array, background: Colour = WHITE): RgbImage {
  // The array itself clamps and rounds.
  const data = new Uint8ClampedArray(flat.data.length);
  for (let i = 0; i < alpha.length; i++) {
    const own = alpha[i]!;
    for (let c = 0; c < RGB; c++) {
      const at = RGB * i + c;
      const behind = background[c]!;
      data[at] = own === 0 ? behind : behind + ((flat.data[at]! - behind) * OPAQUE) / own;
    }
  }
  return { width: flat.width, height: flat.height, data: new Uint8Array(data.buffer), alpha };
}
