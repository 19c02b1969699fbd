import { WeightsError } from '../error.ts';
import { parseJson } from '../source/parse-json.ts';
import type { AffineOptions } from './affine.ts';

/** What a file says of its quantized tensors. */
export interface Quantization extends AffineOptions {
  /** The shape that each has as a whole, by key: of convolutions [O, I, Kh, Kw]. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** Where the parts of a quantized tensor lie: MLX's names. */
export function partsOf(key: string): { codes: string; scales: string; biases: string } {
  const stem = key.replace(/\.weight$/, '');
  return { codes: key, scales: `${stem}.scales`, biases: `${stem}.biases` };
}

function refuse(name: string, rule: string, got: unknown): never {
  throw new WeightsError('Quantization', `${name}: ${rule}; got ${JSON.stringify(got)?.slice(0, 80)}; write it anew`);
}

const isShape = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 1 && value.every((size) => Number.isSafeInteger(size) && size > 0);

/** @throws WeightsError `Quantization` */
export function parseQuantization(name: string, text: string): Quantization {
  let given: unknown;
  try {
    given = parseJson(text);
  } catch {
    refuse(name, 'quantization is JSON', text);
  }
  if (typeof given !== 'object' || given === null) return refuse(name, 'quantization is an object', given);
  const { bits, group_size: groupSize, mode, shapes } = given as Record<string, unknown>;
  if (mode !== 'affine') refuse(name, 'quantization is of mode affine', mode);
  if (bits !== 4 && bits !== 8) return refuse(name, 'quantization is of 4 or 8 bits', bits);
  if (groupSize !== 32 && groupSize !== 64 && groupSize !== 128)
    return refuse(name, 'a group is of 32, 64 or 128', groupSize);
  if (typeof shapes !== 'object' || shapes === null) return refuse(name, 'quantized tensors have shapes', shapes);
  for (const [key, shape] of Object.entries(shapes)) {
    if (!isShape(shape)) refuse(name, `"${key}" has a shape of rows`, shape);
  }
  return { bits, groupSize, shapes: shapes as Quantization['shapes'] };
}

/** What files say together that are one checkpoint: each names tensors of its own, or all that are in any of them.
 * @throws WeightsError `Quantization` when they are not of the same bits and group */
export function mergeQuantization(name: string, all: readonly Quantization[]): Quantization {
  const [{ bits, groupSize }] = all;
  const other = all.find((each) => each.bits !== bits || each.groupSize !== groupSize);
  if (other !== undefined) {
    const [a, b] = [{ bits, groupSize }, other].map((each) => `${each.bits} bits in groups of ${each.groupSize}`);
    refuse(name, 'the files of a checkpoint are quantized alike', `${a} and ${b}`);
  }
  return { bits, groupSize, shapes: Object.fromEntries(all.flatMap(({ shapes }) => Object.entries(shapes))) };
}

/** The text that parseQuantization reads. */
export const quantizationText = ({ bits, groupSize, shapes }: Quantization): string =>
  JSON.stringify({ mode: 'affine', bits, group_size: groupSize, shapes });
