import { anything, checkOptions, type OptionRules, oneOf } from '@rass/kernels/options';
import { checkImages, type Image, planesOf, type Space } from './image.ts';
import { withoutBorder } from './psnr.ts';

export interface SsimOptions {
  /** Default `y`, as restoration papers report it; `rgb` is the mean over the colours. */
  space?: Space;
  /** Rows and columns that are left out at each edge; default 0. */
  border?: number;
}

/** @source Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004 */
const WINDOW = 11;
const DEVIATION = 1.5;
const RANGE = 255;
const C1 = (0.01 * RANGE) ** 2;
const C2 = (0.03 * RANGE) ** 2;

const WEIGHTS = ((): Float64Array => {
  const bell = Float64Array.from({ length: WINDOW }, (_, i) =>
    Math.exp(-((i - (WINDOW - 1) / 2) ** 2) / (2 * DEVIATION ** 2)),
  );
  const total = bell.reduce((a, b) => a + b, 0);
  return bell.map((value) => value / total);
})();

/** The weighted mean around each pixel whose window lies inside. */
function blurred(plane: Float64Array, width: number, height: number): Float64Array {
  const [w, h] = [width - WINDOW + 1, height - WINDOW + 1];
  const rows = new Float64Array(w * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let k = 0; k < WINDOW; k++) sum += WEIGHTS[k] * plane[y * width + x + k];
      rows[y * w + x] = sum;
    }
  }
  const out = new Float64Array(w * h);
  for (let y = 0; y < h; y++) {
    for (let k = 0; k < WINDOW; k++) {
      const weight = WEIGHTS[k];
      for (let x = 0; x < w; x++) out[y * w + x] += weight * rows[(y + k) * w + x];
    }
  }
  return out;
}

const product = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value * b[i]);

function planeSsim(x: Float64Array, y: Float64Array, width: number, height: number): number {
  const blur = (plane: Float64Array): Float64Array => blurred(plane, width, height);
  const [mx, my, xx, yy, xy] = [x, y, product(x, x), product(y, y), product(x, y)].map(blur);
  let total = 0;
  for (let i = 0; i < mx.length; i++) {
    const [a, b] = [mx[i], my[i]];
    const [vx, vy, covariance] = [xx[i] - a * a, yy[i] - b * b, xy[i] - a * b];
    // Contrast that is turned around counts as none. @source pyiqa ssim
    const structure = Math.max(0, (2 * covariance + C2) / (vx + vy + C2));
    total += ((2 * a * b + C1) / (a * a + b * b + C1)) * structure;
  }
  return total / mx.length;
}

const SSIM_OPTIONS_RULES: OptionRules<SsimOptions> = { space: oneOf('y', 'rgb'), border: anything };

/** Structural similarity, 1 for equal images: a Gaussian window of 11 pixels, where it lies inside; luma is rounded to whole numbers.
 * @throws when the images have other sizes, or are smaller than the window @source Wang et al. 2004; pyiqa ssim */
export function ssim(image: Image, reference: Image, options: SsimOptions = {}): number {
  checkOptions('ssim', options, SSIM_OPTIONS_RULES);
  const { space = 'y', border = 0 } = options;
  checkImages('ssim', image, reference);
  const { width, height } = image;
  const cut = (plane: Float64Array) => withoutBorder('ssim', plane, width, height, border);
  const isLuma = space === 'y' && image.channels !== 1;
  const [a, b] = [image, reference].map((each) =>
    planesOf(each, space).map((plane) => cut(isLuma ? plane.map(Math.round) : plane)),
  );
  if (Math.min(a[0].width, a[0].height) < WINDOW) {
    throw new Error(
      `ssim: an image has at least ${WINDOW} rows and columns; got ${a[0].width} x ${a[0].height}; compare larger ones`,
    );
  }
  return a.reduce((sum, each, c) => sum + planeSsim(each.plane, b[c].plane, each.width, each.height), 0) / a.length;
}
