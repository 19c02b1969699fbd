import { elementCount } from '../dtype/dtype.ts';
import { fromFloat32 } from '../dtype/encode.ts';
import type { TensorSpec, TensorWriter } from '../writer.ts';
import { type AffineOptions, dequantizeAffine, quantizeAffine } from './affine.ts';
import { partsOf, QUANTIZATION, quantizationText } from './metadata.ts';
import { cutRows, padRows, rowsOf } from './rows.ts';

/** Whether codes of a tensor of this shape are smaller than F16 is: short rows are filled up to whole groups. */
export function canQuantize(shape: readonly number[], options: AffineOptions): boolean {
  if (shape.length < 2 || elementCount(shape) === 0) return false;
  const { columns, padded } = rowsOf(shape, options);
  return padded * options.bits + (padded / options.groupSize) * 32 < 16 * columns;
}

/** What a writer is started with for tensors of these shapes to be quantized: their parts' specs, and the text that says what they are. */
export function quantizedSpecs(
  shapes: ReadonlyMap<string, readonly number[]>,
  options: AffineOptions,
): { specs: Map<string, TensorSpec>; metadata: Record<string, string> } {
  const specs = new Map<string, TensorSpec>();
  for (const [key, shape] of shapes) {
    const { rows, padded } = rowsOf(shape, options);
    const { codes, scales, biases } = partsOf(key);
    const ofGroups: TensorSpec = { dtype: 'F16', shape: [rows, padded / options.groupSize] };
    specs.set(codes, { dtype: 'U32', shape: [rows, (padded * options.bits) / 32] });
    specs.set(scales, ofGroups).set(biases, ofGroups);
  }
  const text = quantizationText({ ...options, shapes: Object.fromEntries(shapes) });
  return { specs, metadata: { [QUANTIZATION]: text } };
}

/** Writes a tensor's parts. @returns what will be read. @throws WeightsError `NonFinite` */
export async function writeQuantized(
  writer: TensorWriter,
  key: string,
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const { padded } = rowsOf(shape, options);
  const quantized = quantizeAffine(padRows(values, shape, options), padded, options, { half: true });
  const parts = partsOf(key);
  await writer.write(parts.codes, quantized.codes);
  await writer.write(parts.scales, fromFloat32(quantized.scales, 'F16'));
  await writer.write(parts.biases, fromFloat32(quantized.biases, 'F16'));
  return cutRows(dequantizeAffine(quantized, options), shape, options);
}
