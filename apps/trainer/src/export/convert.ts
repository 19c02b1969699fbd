import { readdir } from 'node:fs/promises';
import {
  type AffineOptions,
  byteLengthOf,
  type Checkpoint,
  canQuantize,
  type EncodableDtype,
  fromFloat32,
  quantizedSpecs,
  readFloat32,
  type TensorSpec,
  type TensorWriter,
  toFloat32,
  writeQuantized,
} from '@rass/weights';
import { createShardedSafetensors } from '@rass/weights/node';

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

/** What became of a checkpoint. */
export interface Converted {
  readonly numbers: number;
  readonly bytes: number;
  /** How many files it was written into. */
  readonly files: number;
  /** The root of the squared differences' sum over that of the squared numbers' sum. */
  readonly error: number;
}

/** Where a checkpoint is written: `name`.safetensors, or shards with an index where it is larger than one may be. */
export interface Place {
  readonly folder: string;
  readonly name: string;
  readonly maxShardBytes: number;
}

interface Plan {
  readonly dtype: EncodableDtype;
  readonly codes: AffineOptions | undefined;
  readonly quantized: ReadonlyMap<string, readonly number[]>;
  readonly specs: ReadonlyMap<string, TensorSpec>;
  readonly metadata: Record<string, string>;
}

/** What is written of each tensor. */
function planOf(checkpoint: Checkpoint, keys: readonly string[], precision: Precision): Plan {
  const codes = CODES[precision];
  const dtype: EncodableDtype = codes ? 'F16' : (precision as EncodableDtype);
  const shapes = new Map(keys.map((key) => [key, checkpoint.info(key).shape]));
  const quantized = quantizedShapes(shapes, codes);
  const plain = [...shapes].filter(([key]) => !quantized.has(key));
  const specs = new Map<string, TensorSpec>(plain.map(([key, shape]) => [key, { dtype, shape }]));
  const ofCodes = codes && quantized.size > 0 ? quantizedSpecs(quantized, codes) : undefined;
  for (const [key, spec] of ofCodes?.specs ?? []) {
    if (specs.has(key)) {
      throw new Error(`${checkpoint.name}: a part of a quantized tensor has a name of its own; got "${key}"`);
    }
    specs.set(key, spec);
  }
  return { dtype, codes, quantized, specs, metadata: { format: 'pt', ...ofCodes?.metadata } };
}

/** Writes one tensor. @returns what will be read. @throws when a number is not finite in its new type */
async function writeTensor(
  { name }: Checkpoint,
  writer: TensorWriter,
  { dtype, codes, quantized }: Plan,
  [key, values, shape]: [string, Float32Array<ArrayBuffer>, readonly number[]],
): Promise<Float32Array> {
  if (codes && quantized.has(key)) return writeQuantized(writer, key, values, shape, codes);
  const encoded = fromFloat32(values, dtype);
  const kept = toFloat32(dtype, encoded, shape);
  const unfit = kept.findIndex((value) => !Number.isFinite(value));
  if (unfit >= 0) {
    const rule = `numbers are finite and fit ${dtype}`;
    throw new Error(`${name}: "${key}": ${rule}; got ${values[unfit]}; take a wider type, or train it again`);
  }
  await writer.write(key, encoded);
  return kept;
}

const isShardOf = (name: string, file: string): boolean =>
  file.startsWith(`${name}-`) && /^\d+-of-\d+\.safetensors$/.test(file.slice(name.length + 1));

/** Copies a checkpoint, or some of its tensors, with its numbers in another precision. Each file is there whole or not at all.
 * @throws when a number is not finite in it, naming the file and the tensor */
export async function convertCheckpoint(
  checkpoint: Checkpoint,
  { folder, name, maxShardBytes }: Place,
  precision: Precision,
  keys: readonly string[] = checkpoint.keys(),
): Promise<Converted> {
  const plan = planOf(checkpoint, keys, precision);
  const sums = { numbers: 0, given: 0, off: 0 };
  const { specs, metadata } = plan;
  const writer = await createShardedSafetensors(folder, specs, { metadata, maxShardBytes, baseName: name });
  try {
    for (const key of keys) {
      const values = await readFloat32(checkpoint, key);
      const kept = await writeTensor(checkpoint, writer, plan, [key, values, checkpoint.info(key).shape]);
      sums.numbers += values.length;
      for (let i = 0; i < values.length; i++) {
        sums.given += values[i]! ** 2;
        sums.off += (values[i]! - kept[i]!) ** 2;
      }
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
  const files = (await readdir(folder)).filter((file) => isShardOf(name, file)).length;
  const { given, off, numbers } = sums;
  const bytes = [...specs.values()].reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0);
  return { numbers, bytes, files: Math.max(1, files), error: given === 0 ? 0 : Math.sqrt(off / given) };
}
