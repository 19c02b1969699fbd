import { stat } from 'node:fs/promises';
import {
  type AffineOptions,
  canQuantize,
  type EncodableDtype,
  fromFloat32,
  quantizedSpecs,
  readFloat32,
  type TensorSpec,
  toFloat32,
  writeQuantized,
} from '@rass/weights';
import { createSafetensors, openCheckpoint } from '@rass/weights/node';

/** What weights are written in: a type, or codes of 8 or 4 bits beside numbers of F16. */
export const PRECISIONS = ['F32', 'F16', 'BF16', 'Q8', 'Q4'] as const;
export type Precision = (typeof PRECISIONS)[number];

const CODES: Partial<Record<Precision, AffineOptions>> = {
  Q8: { bits: 8, groupSize: 32 },
  Q4: { bits: 4, groupSize: 32 },
};

/** Small, and much hangs on them: adapters, what takes the latents in and gives them out, and the timestep's. */
const KEPT = /lora_|(^|\.)(conv_in|conv_out|time_embedding)\./;

/** Those that are written as codes: where that saves something. */
function quantizedShapes(
  shapes: ReadonlyMap<string, readonly number[]>,
  codes: AffineOptions | undefined,
): Map<string, readonly number[]> {
  if (codes === undefined) return new Map();
  return new Map([...shapes].filter(([key, shape]) => canQuantize(shape, codes) && !KEPT.test(key)));
}

/** What became of a file. */
export interface Converted {
  readonly numbers: number;
  readonly bytes: number;
  /** The root of the squared differences' sum over that of the squared numbers' sum. */
  readonly error: number;
}

/** Copies a checkpoint with its numbers in another precision. The file is there whole or not at all.
 * @throws when a number is not finite in it, naming the file and the tensor */
export async function convertFile(from: string, to: string, precision: Precision): Promise<Converted> {
  const codes = CODES[precision];
  const dtype: EncodableDtype = codes ? 'F16' : (precision as EncodableDtype);
  const checkpoint = await openCheckpoint(from);
  const sums = { numbers: 0, given: 0, off: 0 };
  const count = (given: Float32Array, kept: Float32Array): void => {
    sums.numbers += given.length;
    for (const [i, value] of given.entries()) {
      sums.given += value ** 2;
      sums.off += (value - kept[i]!) ** 2;
    }
  };
  try {
    const shapes = new Map(checkpoint.keys().map((key) => [key, checkpoint.info(key).shape]));
    const quantized = quantizedShapes(shapes, codes);
    const plain = [...shapes].filter(([key]) => !quantized.has(key));
    const specs = new Map<string, TensorSpec>(plain.map(([key, shape]) => [key, { dtype, shape }]));
    const ofCodes = codes && quantized.size > 0 ? quantizedSpecs(quantized, codes) : undefined;
    for (const [key, spec] of ofCodes?.specs ?? []) {
      if (specs.has(key)) throw new Error(`${from}: a part of a quantized tensor has a name of its own; got "${key}"`);
      specs.set(key, spec);
    }
    const writer = await createSafetensors(to, specs, { metadata: { format: 'pt', ...ofCodes?.metadata } });
    try {
      for (const [key, shape] of shapes) {
        const values = await readFloat32(checkpoint, key);
        if (codes && quantized.has(key)) {
          count(values, await writeQuantized(writer, key, values, shape, codes));
          continue;
        }
        const encoded = fromFloat32(values, dtype);
        const kept = toFloat32(dtype, encoded, shape);
        const unfit = kept.findIndex((value) => !Number.isFinite(value));
        if (unfit >= 0) {
          const rule = `numbers are finite and fit ${dtype}`;
          throw new Error(`${from}: "${key}": ${rule}; got ${values[unfit]}; take a wider type, or train it again`);
        }
        await writer.write(key, encoded);
        count(values, kept);
      }
    } catch (error) {
      await writer.abort();
      throw error;
    }
    await writer.finish();
  } finally {
    await checkpoint.close();
  }
  const { given, off, numbers } = sums;
  return { numbers, bytes: (await stat(to)).size, error: given === 0 ? 0 : Math.sqrt(off / given) };
}
