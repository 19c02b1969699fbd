import { checkOptions, type OptionRules, oneOf, whole } from '@rass/kernels/options';
import { Matrix, pseudoInverse } from 'ml-matrix';
import { checkImages, type Image, planesOf } from '../images/image.ts';
import { gamma } from './gamma.ts';
import { filtered, halved, type Plane } from './plane.ts';

/** Weights of red, green and blue. @source NTSC; pyiqa to_y_channel, color_space yiq */
const YIQ = [0.299, 0.587, 0.114];

/** What natural photographs look like: a normal distribution of 36 features, and the window that they are taken with. */
export interface NiqeModel {
  /** [36] */
  readonly mean: ArrayLike<number>;
  /** [36, 36], row by row */
  readonly covariance: ArrayLike<number>;
  /** [7, 7], row by row; sums to 1 */
  readonly window: ArrayLike<number>;
}

export interface NiqeOptions {
  /** Rows and columns that are left out at each edge; default 0. */
  readonly border?: number;
  /** The luma that is looked at: `yiq`, from 0 to 255, as pyiqa and the papers that use it, or `y`, from 16 to 235, as basicsr and MATLAB's
   * rgb2ycbcr. Scores differ by some hundredths. Default `yiq`. */
  readonly luma?: 'yiq' | 'y';
}

/** @source Mittal et al. 2013, "Making a 'completely blind' image quality analyzer"; basicsr calculate_niqe */
const BLOCK = 96;
const SCALES = 2;
const FEATURES = 36;
const WINDOW = 7;
/** Steps to a block's neighbours: to the right, below, and along both diagonals. */
const NEIGHBOURS = [
  [0, 1],
  [1, 0],
  [1, 1],
  [1, -1],
] as const;

/** The shape of the distribution by its moments' ratio: the ratio rises with the shape, from 0.2 to 10 in steps of 0.001. */
const SHAPES = Float64Array.from({ length: 9801 }, (_, i) => 0.2 + i * 0.001);
let ratios: Float64Array | undefined;

function shapeOf(ratio: number): number {
  ratios ??= SHAPES.map((shape) => gamma(2 / shape) ** 2 / (gamma(1 / shape) * gamma(3 / shape)));
  let [low, high] = [0, ratios.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ratios[middle] < ratio) low = middle;
    else high = middle;
  }
  return SHAPES[(ratios[low] - ratio) ** 2 <= (ratios[high] - ratio) ** 2 ? low : high];
}

/** An asymmetric generalised normal distribution, fitted by its moments. */
interface Fit {
  readonly shape: number;
  readonly left: number;
  readonly right: number;
}

function fitted(values: Float64Array): Fit {
  let [below, above, squaresBelow, squaresAbove, total] = [0, 0, 0, 0, 0];
  for (const value of values) {
    if (value < 0) {
      below++;
      squaresBelow += value * value;
    } else if (value > 0) {
      above++;
      squaresAbove += value * value;
    }
    total += Math.abs(value);
  }
  const [left, right] = [Math.sqrt(squaresBelow / below), Math.sqrt(squaresAbove / above)];
  const side = left / right;
  const spread = (total / values.length) ** 2 / ((squaresBelow + squaresAbove) / values.length);
  const shape = shapeOf((spread * (side ** 3 + 1) * (side + 1)) / (side ** 2 + 1) ** 2);
  const scale = Math.sqrt(gamma(1 / shape) / gamma(3 / shape));
  return { shape, left: left * scale, right: right * scale };
}

/** A block times itself moved by some pixels; what falls out comes in at the other end. */
function timesNeighbour(block: Float64Array, size: number, [down, across]: readonly [number, number]): Float64Array {
  const out = new Float64Array(block.length);
  for (let y = 0; y < size; y++) {
    const from = ((y - down + size) % size) * size;
    for (let x = 0; x < size; x++) out[y * size + x] = block[y * size + x] * block[from + ((x - across + size) % size)];
  }
  return out;
}

/** Eighteen numbers: of the block's own values, and of their products with each neighbour. */
function blockFeatures(block: Float64Array, size: number): number[] {
  const own = fitted(block);
  const products = NEIGHBOURS.flatMap((step) => {
    const { shape, left, right } = fitted(timesNeighbour(block, size, step));
    return [shape, (right - left) * (gamma(2 / shape) / gamma(1 / shape)), left, right];
  });
  return [own.shape, (own.left + own.right) / 2, ...products];
}

/** Each pixel less the mean around it, by the deviation around it plus 1. */
function normalised(plane: Plane, window: ArrayLike<number>): Plane {
  const mean = filtered(plane, window);
  const squares = filtered({ ...plane, values: plane.values.map((value) => value * value) }, window);
  const values = plane.values.map(
    (value, i) => (value - mean[i]) / (Math.sqrt(Math.abs(squares[i] - mean[i] ** 2)) + 1),
  );
  return { ...plane, values };
}

function cut(
  { width, values }: Plane,
  top: number,
  left: number,
  columns: number,
  rows: number = columns,
): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const from = (top + y) * width + left;
    out.set(values.subarray(from, from + columns), y * columns);
  }
  return out;
}

/** The features of each block of the image at each scale. @shape [blocks][36] */
function featuresOf(image: Plane, window: ArrayLike<number>): number[][] {
  const [across, down] = [Math.floor(image.width / BLOCK), Math.floor(image.height / BLOCK)];
  const [width, height] = [across * BLOCK, down * BLOCK];
  let plane: Plane = { width, height, values: cut(image, 0, 0, width, height) };
  const blocks: number[][] = Array.from({ length: across * down }, () => []);
  for (let scale = 0; scale < SCALES; scale++) {
    const size = BLOCK / 2 ** scale;
    const contrast = normalised(plane, window);
    for (const [i, features] of blocks.entries()) {
      const block = cut(contrast, Math.floor(i / across) * size, (i % across) * size, size);
      features.push(...blockFeatures(block, size));
    }
    if (scale + 1 < SCALES) plane = halved(plane);
  }
  return blocks;
}

function meanOfFinite(rows: readonly number[][], feature: number): number {
  const values = rows.map((row) => row[feature]).filter((value) => !Number.isNaN(value));
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function covarianceOf(rows: readonly number[][]): Matrix {
  const matrix = new Matrix(rows as number[][]);
  const centred = matrix.subRowVector(matrix.mean('column'));
  return centred
    .transpose()
    .mmul(centred)
    .div(rows.length - 1);
}

function checkModel({ mean, covariance, window }: NiqeModel): void {
  const lengths = [mean.length, covariance.length, window.length];
  if (`${lengths}` === `${[FEATURES, FEATURES ** 2, WINDOW ** 2]}`) return;
  throw new Error(
    `niqe: a model has 36 means, 36 x 36 covariances and a window of 7 x 7; got ${lengths.join(', ')} numbers; read it with readNiqeModel`,
  );
}

/** In whole numbers, halves to the even one. */
function lumaOf(image: Image, luma: 'yiq' | 'y'): Float64Array {
  const planes = planesOf(image, luma === 'y' ? 'y' : 'rgb');
  const [red, green, blue] = planes;
  const values = planes.length === 1 ? red : red.map((r, i) => YIQ[0] * r + YIQ[1] * green[i] + YIQ[2] * blue[i]);
  return values.map((value) => {
    const below = Math.floor(value);
    if (value - below === 0.5) return below % 2 === 0 ? below : below + 1;
    return Math.round(value);
  });
}

const NIQE_OPTIONS_RULES: OptionRules<NiqeOptions> = { border: whole(0), luma: oneOf('yiq', 'y') };

/** How unlike natural photographs an image is, without a reference: 0 and up, lower is better; good photographs have 2 to 5. Of the luma,
 * in blocks of 96 x 96 pixels; what is left at the right and below has no part.
 * @throws when fewer than two blocks fit or vary, or values are not finite
 * @source Mittal et al. 2013, IEEE SPL 20(3); basicsr 1.4.2 calculate_niqe */
export function niqe(image: Image, model: NiqeModel, options: NiqeOptions = {}): number {
  checkOptions('niqe', options, NIQE_OPTIONS_RULES);
  const { border = 0, luma = 'yiq' } = options;
  checkModel(model);
  checkImages('niqe', image, image);
  const whole: Plane = { width: image.width, height: image.height, values: lumaOf(image, luma) };
  const [width, height] = [image.width - 2 * border, image.height - 2 * border];
  const fit = Math.max(0, Math.floor(width / BLOCK)) * Math.max(0, Math.floor(height / BLOCK));
  if (fit < 2) {
    throw new Error(
      `niqe: at least two blocks of ${BLOCK} x ${BLOCK} pixels fit into an image; got ${width} x ${height}; give a larger one`,
    );
  }
  const rows = featuresOf({ width, height, values: cut(whole, border, border, width, height) }, model.window);
  const varied = rows.filter((row) => row.every((value) => !Number.isNaN(value)));
  if (varied.length < 2) {
    throw new Error(
      `niqe: at least two blocks of an image vary; got ${varied.length} of ${rows.length}; a plain picture has no quality to tell`,
    );
  }
  const difference = Matrix.rowVector(
    Array.from({ length: FEATURES }, (_, i) => model.mean[i] - meanOfFinite(rows, i)),
  );
  const pristine = Matrix.from1DArray(FEATURES, FEATURES, Array.from(model.covariance));
  const inverse = pseudoInverse(Matrix.add(pristine, covarianceOf(varied)).div(2));
  return Math.sqrt(difference.mmul(inverse).mmul(difference.transpose()).get(0, 0));
}

/** Something that gives tensors by name, as an opened checkpoint of @rass/weights does. */
export interface NiqeSource {
  read(key: string): Promise<{ readonly data: ArrayLike<number | bigint> }>;
}

/** Reads the published model, which `rass weights install niqe` puts into the cache. @throws when a part is missing */
export async function readNiqeModel(source: NiqeSource): Promise<NiqeModel> {
  const read = async (key: string): Promise<Float64Array> =>
    Float64Array.from((await source.read(key)).data as ArrayLike<number>);
  const model = {
    mean: await read('mu_pris_param'),
    covariance: await read('cov_pris_param'),
    window: await read('gaussian_window'),
  };
  checkModel(model);
  return model;
}
