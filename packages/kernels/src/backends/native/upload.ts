import type { DataType, KernelBackend } from '@tensorflow/tfjs-core';

/** The parts of tfjs-node's backend that an upload touches. */
interface UploadingBackend extends KernelBackend {
  binding: { createTensor: (shape: number[], dtype: number, values: Float32Array) => number; TF_FLOAT: number };
  tensorMap: { set: (dataId: object, entry: object) => void };
}

type BackendClass = new (...args: never[]) => KernelBackend;

/** Smaller tensors wait until an op needs them, as tfjs-node has it: many are only read back. */
const LEAST_VALUES = 4096;

/** tfjs-node's backend, but large float tensors are handed to TensorFlow when they are made, not at their first use.
 * It mostly copies them, and the caller's array can then be collected: otherwise a model's weights would be held twice. */
export function uploadingAtOnce<Backend extends BackendClass>(backend: Backend): Backend {
  const Base = backend as unknown as new (...args: unknown[]) => UploadingBackend;
  class UploadingAtOnce extends Base {
    override write(values: Float32Array, shape: number[], dtype: DataType): object {
      if (dtype !== 'float32' || values.length < LEAST_VALUES) return super.write(values, shape, dtype);
      const type = this.binding.TF_FLOAT;
      const dataId = {};
      const id = this.binding.createTensor(shape, type, values);
      this.tensorMap.set(dataId, { shape, dtype: type, values: null, id, refCount: 1 });
      return dataId;
    }
  }
  return UploadingAtOnce as unknown as Backend;
}
