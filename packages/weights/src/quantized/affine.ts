import { toFloat32 } from '../dtype/decode.ts';
import { fromFloat32, roundEven } from '../dtype/encode.ts';
import { WeightsError } from '../error.ts';

/** Codes of 4 or 8 bits; each group of neighbours in a row has a scale and a bias of its own: value = scale * code + bias.
 * @source MLX, `mx.quantize` in the mode "affine" */
export interface AffineOptions {
  readonly bits: 4 | 8;
  readonly groupSize: 32 | 64 | 128;
}

/** Rows of codes, packed from the lowest bits up, with the scales and biases of their groups. */
export interface AffineCodes<Scales = Float32Array<ArrayBuffer>> {
  /** @shape [rows, columns * bits / 32] */
  readonly codes: Uint32Array<ArrayBuffer>;
  /** @shape [rows, columns / groupSize] */
  readonly scales: Scales;
  /** @shape [rows, columns / groupSize] */
  readonly biases: Scales;
}

const SMALLEST_SCALE = 1e-7;
const { fround } = Math;

const nonFinite = (got: number): WeightsError =>
  new WeightsError(
    'NonFinite',
    `quantizeAffine: values are finite, and so are the scale and bias of each group in their type; got ${got}; leave them as they are`,
  );

/** The scale and bias of a group: its end that is larger in size is hit exactly, and so is 0, before they are rounded to F16. */
function rangeOf(group: Float32Array, most: number): [scale: number, bias: number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of group) {
    if (!Number.isFinite(value)) throw nonFinite(value);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const isLow = Math.abs(low) > Math.abs(high);
  const step = Math.max(fround(fround(high - low) / most), fround(SMALLEST_SCALE));
  const scale = isLow ? step : -step;
  const edge = isLow ? low : high;
  const steps = roundEven(fround(edge / scale));
  return steps === 0 ? [scale, 0] : [fround(edge / steps), edge];
}

const inHalf = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => toFloat32('F16', fromFloat32(values, 'F16')); // biome-ignore format: one line

/** Quantizes rows of float32 values. With `half` scales and biases are numbers of F16, and the codes made for those.
 * @throws WeightsError `Quantization` when a row is not whole groups, or `NonFinite` */
export function quantizeAffine(
  values: Float32Array<ArrayBuffer>,
  columns: number,
  { bits, groupSize }: AffineOptions,
  { half = false }: { readonly half?: boolean } = {},
): AffineCodes {
  if (columns % groupSize !== 0 || values.length % columns !== 0) {
    throw new WeightsError(
      'Quantization',
      `quantizeAffine: rows are whole groups of ${groupSize}; got rows of ${columns} in ${values.length} values; leave them as they are`,
    );
  }
  const most = 2 ** bits - 1;
  const groups = values.length / groupSize;
  const ranges = { scales: new Float32Array(groups), biases: new Float32Array(groups) };
  for (let group = 0; group < groups; group++) {
    const of = values.subarray(group * groupSize, (group + 1) * groupSize);
    [ranges.scales[group], ranges.biases[group]] = rangeOf(of, most);
  }
  const { scales, biases } = half ? { scales: inHalf(ranges.scales), biases: inHalf(ranges.biases) } : ranges;
  const unfit = [...scales.keys()].find((i) => !(Number.isFinite(scales[i]) && Number.isFinite(biases[i])));
  if (unfit !== undefined) throw nonFinite(ranges.biases[unfit] || ranges.scales[unfit]);
  const perWord = 32 / bits;
  const codes = new Uint32Array(values.length / perWord);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const group = Math.floor(i / groupSize);
    const scale = scales[group];
    const steps = scale === 0 ? 0 : roundEven(fround(fround(value - biases[group]) / scale));
    const code = Math.min(Math.max(steps, 0), most);
    codes[Math.floor(i / perWord)] |= code << (bits * (i % perWord));
  }
  return { codes, scales, biases };
}

/** The values of quantized rows. */
export function dequantizeAffine(
  { codes, scales, biases }: AffineCodes,
  { bits, groupSize }: AffineOptions,
): Float32Array<ArrayBuffer> {
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const values = new Float32Array(codes.length * perWord);
  for (let group = 0; group < scales.length; group++) {
    const [scale, bias] = [scales[group], biases[group]];
    const end = (group + 1) * groupSize;
    for (let i = group * groupSize; i < end; i++) {
      const code = (codes[Math.floor(i / perWord)] >>> (bits * (i % perWord))) & mask;
      values[i] = fround(scale * code) + bias;
    }
  }
  return values;
}
