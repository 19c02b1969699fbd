import type { Checkpoint, TensorInfo } from './checkpoint.ts';
import { byteLengthOf, viewAs } from './dtype/dtype.ts';

/** A checkpoint of given shapes whose tensors are zeros, made when they are read. */
export function shapesOnly(shapes: Readonly<Record<string, readonly number[]>>, name = 'shapes'): Checkpoint {
  const infoOf = (key: string): TensorInfo => {
    if (!(key in shapes)) throw new Error(`no ${key}`);
    return { dtype: 'F32', shape: shapes[key] };
  };
  return {
    name,
    format: 'test',
    metadata: {},
    keys: () => Object.keys(shapes),
    has: (key) => key in shapes,
    info: infoOf,
    async read(key) {
      const info = infoOf(key);
      return { ...info, data: viewAs('F32', new Uint8Array(byteLengthOf('F32', info.shape))) };
    },
    close: async () => {},
  };
}
