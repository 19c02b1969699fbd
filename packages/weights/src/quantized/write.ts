import { elementCount } from '../dtype/dtype.ts';
import { fromFloat32 } from '../dtype/encode.ts';
import { WeightsError } from '../error.ts';
import type { TensorSpec, TensorWriter } from '../writer.ts';
import { type AffineCodes, type AffineOptions, dequantizeAffine, quantizeAffine } from './affine.ts';
import { QUANTIZATION } from './key.ts';
import { partsOf, quantizationText } from './metadata.ts';
import { cutRows, padRows, rowsOf } from './rows.ts';

/** Whether codes of a tensor of this shape are smaller than F16 is: short rows are filled up to whole groups. */
export function canQuantize(shape: readonly number[], options: AffineOptions): boolean {
  if (shape.length < 2 || elementCount(shape) === 0) return false;
  const { columns, padded } = rowsOf(shape, options);
  return padded * options.bits + (padded / options.groupSize) * 32 < 16 * columns;
}

function checkShape(key: string, shape: readonly number[]): void {
  if (shape.length > 1 && elementCount(shape) > 0) return;
  throw new WeightsError(
    'Quantization',
    `quantizedSpecs: "${key}" has rows of numbers; got [${shape.join(', ')}]; leave it as it is`,
  );
}

/** What a writer is started with for tensors of these shapes to be quantized: their parts' specs, and the text that says what they are.
 * @throws WeightsError `Quantization` for a tensor without rows; `Collision` when two would have a part of the same name */
export function quantizedSpecs(
  shapes: ReadonlyMap<string, readonly number[]>,
  options: AffineOptions,
): { specs: Map<string, TensorSpec>; metadata: Record<string, string> } {
  const specs = new Map<string, TensorSpec>();
  for (const [key, shape] of shapes) {
    checkShape(key, shape);
    const { rows, padded } = rowsOf(shape, options);
    const { codes, scales, biases } = partsOf(key);
    if (specs.has(scales)) {
      throw new WeightsError('Collision', `quantizedSpecs: each tensor has parts of its own; got "${scales}" of two`);
    }
    const ofGroups: TensorSpec = { dtype: 'F16', shape: [rows, padded / options.groupSize] };
    specs.set(codes, { dtype: 'U32', shape: [rows, (padded * options.bits) / 32] });
    specs.set(scales, ofGroups).set(biases, ofGroups);
  }
  const text = quantizationText({ ...options, shapes: Object.fromEntries(shapes) });
  return { specs, metadata: { [QUANTIZATION]: text } };
}

function quantizedRows(
  key: string,
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): AffineCodes {
  const { padded } = rowsOf(shape, options);
  try {
    return quantizeAffine(padRows(values, shape, options), padded, options, { half: true });
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    throw new WeightsError(error.rule, `"${key}": ${error.message}`, { cause: error });
  }
}

/** Writes a tensor's parts. @returns what will be read. @throws WeightsError `NonFinite`, naming the tensor; `Quantization` for other than the shape's numbers */
export async function writeQuantized(
  writer: TensorWriter,
  key: string,
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Promise<Float32Array<ArrayBuffer>> {
  if (values.length !== elementCount(shape)) {
    const got = `${values.length} for [${shape.join(', ')}]`;
    throw new WeightsError('Quantization', `writeQuantized: "${key}" has the numbers of its shape; got ${got}`);
  }
  const quantized = quantizedRows(key, values, shape, options);
  const parts = partsOf(key);
  await writer.write(parts.codes, quantized.codes);
  await writer.write(parts.scales, fromFloat32(quantized.scales, 'F16'));
  await writer.write(parts.biases, fromFloat32(quantized.biases, 'F16'));
  return cutRows(dequantizeAffine(quantized, options), shape, options);
}
