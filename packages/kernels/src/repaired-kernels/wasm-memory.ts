import { type DataType, engine, slice, type Tensor, type TensorInfo } from '@tensorflow/tfjs-core';

/** The part of the wasm backend that reaches its memory. */
export interface WasmBackend {
  dataIdMap: { get(dataId: object): { shape: number[] } };
  makeOutput(shape: number[], dtype: DataType): TensorInfo;
  typedArrayFromHeap(tensor: TensorInfo): Float32Array | Int32Array | Uint8Array;
}

export const wasmBackend = (): WasmBackend => engine().backend as unknown as WasmBackend;

/** The same values in memory of their own, which TensorFlow.js knows under this shape. */
export const copied = (x: Tensor): Tensor =>
  slice(
    x,
    x.shape.map(() => 0),
    x.shape,
  );

/** The shape that values had when they were written; a tensor that shares them may have another. */
export const writtenShape = (x: Tensor): number[] => wasmBackend().dataIdMap.get(x.dataId).shape;
