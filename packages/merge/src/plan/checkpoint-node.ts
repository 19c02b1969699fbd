import { byteLengthOf, type Checkpoint, type Dtype, toFloat32 } from '@rass/weights';
import { checkFinite } from './finite.ts';
import { type Range, type ReadContext, sizeOf, type TensorNode } from './node.ts';

const PACKED = /^F[46](_|$)/;
const FLOAT = /^(F|BF)\d/;

/** Whether a type is merged; integers, truth values and complex numbers are copied. */
export const isFloat = (dtype: Dtype): boolean => FLOAT.test(dtype) && dtype !== 'F8_E8M0';

/** Reads a part, or the whole, as float32 in an array of the pool's. */
async function readValues(
  checkpoint: Checkpoint,
  key: string,
  { start, count }: Range,
  { pool, signal }: ReadContext,
): Promise<Float32Array<ArrayBuffer>> {
  const { dtype, shape } = checkpoint.info(key);
  const values = pool.take(count);
  if (checkpoint.readPart !== undefined && dtype === 'F32') {
    const into = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    await checkpoint.readPart(key, { start, count }, { into, signal });
    return values;
  }
  const isPart = checkpoint.readPart !== undefined && !PACKED.test(dtype);
  const data = isPart
    ? await checkpoint.readPart!(key, { start, count }, { signal })
    : (await checkpoint.read(key, { signal })).data;
  values.set(toFloat32(dtype, data, isPart ? [count] : shape));
  return values;
}

/** The tensors of a checkpoint, checked as they are read. */
export function checkpointNode(name: string, checkpoint: Checkpoint): TensorNode {
  const isSliced = (key: string): boolean =>
    checkpoint.readPart !== undefined && !PACKED.test(checkpoint.info(key).dtype);
  return {
    name,
    keys: checkpoint.keys(),
    has: (key) => checkpoint.has(key),
    info: (key) => checkpoint.info(key),
    isSliced,
    async read(key, range, context) {
      const values = await readValues(checkpoint, key, range, context);
      if (!context.mayBeNonFinite(key)) checkFinite(name, key, values, range.start);
      return values;
    },
    readRaw: (key, { signal }) => checkpoint.read(key, { signal }),
    readBytes(key) {
      const { dtype, shape } = checkpoint.info(key);
      return byteLengthOf(dtype, shape);
    },
    footprint(key, count) {
      const { dtype, shape } = checkpoint.info(key);
      // Other types lie beside what they become.
      return dtype === 'F32' && isSliced(key) ? count : count + 2 * Math.min(count, sizeOf(shape));
    },
  };
}
