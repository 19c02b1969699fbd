import { type DataType, engine, type TensorInfo } from '@tensorflow/tfjs-core';

/** Numbers of a tensor, where the host can read and write them without a copy. */
export interface HostMemory {
  /** An output and its values, zeros. Make all outputs before any input is looked at: the memory may move when it grows. */
  output(shape: readonly number[]): TensorInfo;
  values(tensor: TensorInfo): Float32Array;
}

interface WasmBackend {
  makeOutput(shape: number[], dtype: DataType): TensorInfo;
  typedArrayFromHeap(tensor: TensorInfo): Float32Array;
}

interface CpuBackend {
  makeTensorInfo(shape: number[], dtype: DataType, values: Float32Array): TensorInfo;
  data: { get(dataId: object): { values: Float32Array } };
}

/** The memory of the current backend, `wasm` or `cpu`. */
export function hostMemory(): HostMemory {
  const { backend, backendName } = engine();
  if (backendName === 'wasm') {
    const wasm = backend as unknown as WasmBackend;
    return {
      output(shape) {
        const made = wasm.makeOutput([...shape], 'float32');
        wasm.typedArrayFromHeap(made).fill(0);
        return made;
      },
      values: (tensor) => wasm.typedArrayFromHeap(tensor),
    };
  }
  const cpu = backend as unknown as CpuBackend;
  return {
    output: (shape) => cpu.makeTensorInfo([...shape], 'float32', new Float32Array(shape.reduce((a, b) => a * b, 1))),
    values: (tensor) => cpu.data.get(tensor.dataId as object).values,
  };
}
