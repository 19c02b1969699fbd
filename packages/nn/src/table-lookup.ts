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

/** What is looked at of a backend that has limits: the WebGPU one of @rass/kernels. */
interface LimitedBackend {
  readonly limits?: Readonly<Record<string, number>>;
  readonly tensorMap?: { get(dataId: object): { values?: ArrayLike<number> | null } | undefined };
}

const BYTES = Float32Array.BYTES_PER_ELEMENT;

function isOverLimit(table: Tensor): boolean {
  const { limits } = backend() as LimitedBackend;
  if (limits === undefined) return false;
  return table.size * BYTES > Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}

/** The values of a tensor that the device has not been given; undefined where only the device has them. */
function hostValues(x: Tensor): ArrayLike<number> | undefined {
  return (backend() as LimitedBackend).tensorMap?.get(x.dataId)?.values ?? undefined;
}

function rowsOnHost(table: Float32Array, count: number, width: number, ids: ArrayLike<number>): Float32Array {
  const rows = new Float32Array(ids.length * width);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (!(id >= 0 && id < count)) {
      throw new Error(`embedding: ids are from 0 to ${count - 1}; got ${id}; check the tokens`);
    }
    rows.set(table.subarray(id * width, (id + 1) * width), i * width);
  }
  return rows;
}

/** Rows of a table by number. CLIP's token table takes 193 MiB, and many devices bind 128 MiB at most: a table over the
 * limit stays with the host, which such a tensor never leaves, and only the rows go to the device.
 * @shape table [V, C], ids [...] int32 in [0, V) -> [..., C] @throws when the device must hold a table over its limits */
export function tableRows(table_VC: Tensor2D, ids: Tensor): Tensor {
  const numbers = isOverLimit(table_VC) ? hostValues(ids) : undefined;
  const values = numbers === undefined ? undefined : hostValues(table_VC);
  // What only the device has is gathered there, and the backend refuses what does not fit.
  if (numbers === undefined || values === undefined) return gather(table_VC, ids as never);
  const [count, width] = table_VC.shape;
  const shape = [...ids.shape, width];
  const lookUp = customGrad((table) => ({
    value: tensor(rowsOnHost(values as Float32Array, count, width, numbers), shape),
    gradFunc: (dy: Tensor): Tensor => {
      const places = tensor(Int32Array.from(numbers), [numbers.length, 1], 'int32');
      return scatterND(places, reshape(dy, [numbers.length, width]), (table as Tensor2D).shape);
    },
  }));
  return lookUp(table_VC);
}
