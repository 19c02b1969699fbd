import {
  backend,
  customGrad,
  gather,
  reshape,
  scatterND,
  type Tensor,
  type Tensor2D,
  tensor,
} from '@tensorflow/tfjs-core';

interface HeldValues {
  get(dataId: object): { values?: ArrayLike<number> | null } | undefined;
}

/** What is looked at of a backend: the limits of @rass/kernels' WebGPU one, and where a backend keeps values. */
interface LookedAtBackend {
  readonly limits?: Readonly<Record<string, number>>;
  /** Of WebGPU and native TensorFlow, which hold values until the device takes them. */
  readonly tensorMap?: HeldValues;
  /** Of the cpu backend. */
  readonly data?: HeldValues;
}

const BYTES = Float32Array.BYTES_PER_ELEMENT;

function isOverLimit(table: Tensor): boolean {
  const { limits } = backend() as LookedAtBackend;
  if (limits === undefined) return false;
  return table.size * BYTES > Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}

/** The values of a tensor where the host has them, without waiting: those that the device has not been given.
 * Undefined where only the device has them. For checks, and for what must not go to the device. */
export function hostValues(x: Tensor): ArrayLike<number> | undefined {
  const { tensorMap, data } = backend() as LookedAtBackend;
  return (tensorMap ?? data)?.get(x.dataId)?.values ?? undefined;
}

function checkIds(ids: ArrayLike<number>, count: number): void {
  for (let i = 0; i < ids.length; i++) {
    if (Number.isInteger(ids[i]) && ids[i] >= 0 && ids[i] < count) continue;
    throw new Error(
      `embedding: ids are whole numbers from 0 to ${count - 1}; got ${ids[i]} at ${i}; check what made them`,
    );
  }
}

function rowsOnHost(table: Float32Array, width: number, ids: ArrayLike<number>): Float32Array {
  const rows = new Float32Array(ids.length * width);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    rows.set(table.subarray(id * width, (id + 1) * width), i * width);
  }
  return rows;
}

/** Rows of a table by number. CLIP's token table takes 193 MiB, and many devices bind 128 MiB at most: a table over the
 * limit stays with the host, which such a tensor never leaves, and only the rows go to the device. WebGPU takes an id
 * outside the table, where the device alone has it, for a row of zeros; the others refuse it.
 * @shape table [V, C], ids [...] int32 in [0, V) -> [..., C]
 * @throws when the device must hold a table over its limits, or on an id outside the table */
export function tableRows(table_VC: Tensor2D, ids: Tensor): Tensor {
  const numbers = hostValues(ids);
  if (numbers !== undefined) checkIds(numbers, table_VC.shape[0]);
  const values = numbers !== undefined && isOverLimit(table_VC) ? hostValues(table_VC) : undefined;
  // What only the device has is gathered there, and the backend refuses what does not fit.
  if (numbers === undefined || values === undefined) return gather(table_VC, ids as never);
  const [, width] = table_VC.shape;
  const shape = [...ids.shape, width];
  const lookUp = customGrad((table) => ({
    value: tensor(rowsOnHost(values as Float32Array, width, numbers), shape),
    gradFunc: (dy: Tensor): Tensor => {
      const places = tensor(Int32Array.from(numbers), [numbers.length, 1], 'int32');
      return scatterND(places, reshape(dy, [numbers.length, width]), (table as Tensor2D).shape);
    },
  }));
  return lookUp(table_VC);
}
