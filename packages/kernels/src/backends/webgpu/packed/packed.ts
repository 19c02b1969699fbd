import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { PackedValues } from '../../../packed-tensor.ts';

/** How packed values lie in their buffer. */
export type PackedFormat =
  | { readonly kind: 'half' }
  | {
      readonly kind: 'affine';
      readonly bits: 4 | 8;
      readonly groupSize: number;
      /** The word of the first group; each group has one, its scale in the lower half. */
      readonly firstGroup: number;
      readonly layout: 'oi' | 'hwio';
      /** Of `oi`: groups in a row. */
      readonly rowGroups: number;
      /** Of `hwio`: Kh Kw. */
      readonly places: number;
    };

/** A weight whose buffer holds its values packed. */
export interface Packed {
  readonly format: PackedFormat;
  /** As the values were given; a tensor that shares them may have another. */
  readonly shape: readonly number[];
  /** The buffer. [words] int32 */
  readonly words: TensorInfo;
}

const HALVES = 2;

/** Whether kernels read whole vectors of a weight of this shape, in its rows and in its columns. */
export function isOfVectors(shape: readonly number[]): boolean {
  return (shape.length === 2 || shape.length === 4) && shape.slice(-2).every((size) => size > 0 && size % 4 === 0);
}

function halfWords(bits: Uint16Array): Int32Array {
  // A vector of four is two words: shapes of whole vectors leave none half filled.
  const words = new Uint16Array(bits.length);
  words.set(bits);
  return new Int32Array(words.buffer, 0, bits.length / HALVES);
}

/** The words of a buffer, and how they are read. */
export function packedWords(
  values: PackedValues,
  shape: readonly number[],
): { format: PackedFormat; words: Int32Array } {
  if (values.kind === 'half') return { format: { kind: 'half' }, words: halfWords(values.bits) };
  const { layout, bits, groupSize, codes, scales, biases } = values;
  const words = new Int32Array(codes.length + scales.length);
  words.set(new Int32Array(codes.buffer, codes.byteOffset, codes.length));
  for (let group = 0; group < scales.length; group++) {
    words[codes.length + group] = scales[group]! | (biases[group]! << 16);
  }
  const format: PackedFormat = {
    kind: 'affine',
    bits,
    groupSize,
    firstGroup: codes.length,
    layout,
    rowGroups: layout === 'oi' ? scales.length / shape[0]! : 0,
    places: layout === 'hwio' ? shape[0]! * shape[1]! : 0,
  };
  return { format, words };
}
