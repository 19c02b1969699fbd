import { anything, checkOptions, type OptionRules, oneOf } from '@rass/kernels/options';
import { checkImages, type Image, planesOf, type Space } from './image.ts';

export interface PsnrOptions {
  /** Default `y`, as restoration papers report it. */
  space?: Space;
  /** Rows and columns that are left out at each edge; default 0. */
  border?: number;
}

/** The range of values. */
const RANGE = 255;

/** Without the rows and columns at the edges. @throws when nothing is left */
export function withoutBorder(
  where: string,
  plane: Float64Array,
  width: number,
  height: number,
  border: number,
): { plane: Float64Array; width: number; height: number } {
  if (!(Number.isInteger(border) && border >= 0 && 2 * border < Math.min(width, height))) {
    throw new Error(`${where}: the border leaves something of ${width} x ${height}; got ${border}; give a smaller one`);
  }
  if (border === 0) return { plane, width, height };
  const [w, h] = [width - 2 * border, height - 2 * border];
  const inner = new Float64Array(w * h);
  for (let y = 0; y < h; y++) {
    const start = (y + border) * width + border;
    inner.set(plane.subarray(start, start + w), y * w);
  }
  return { plane: inner, width: w, height: h };
}

const PSNR_OPTIONS_RULES: OptionRules<PsnrOptions> = { space: oneOf('y', 'rgb'), border: anything };

/** Peak signal-to-noise ratio in decibels: Infinity for equal images. @throws when the images have other sizes
 * @source BasicSR psnr; pyiqa psnry */
export function psnr(image: Image, reference: Image, options: PsnrOptions = {}): number {
  checkOptions('psnr', options, PSNR_OPTIONS_RULES);
  const { space = 'y', border = 0 } = options;
  checkImages('psnr', image, reference);
  const { width, height } = image;
  const [a, b] = [image, reference].map((each) =>
    planesOf(each, space).map((plane) => withoutBorder('psnr', plane, width, height, border).plane),
  );
  let squares = 0;
  a.forEach((plane, c) => {
    for (let i = 0; i < plane.length; i++) squares += (plane[i] - b[c][i]) ** 2;
  });
  return 10 * Math.log10(RANGE ** 2 / (squares / (a.length * a[0].length)));
}
