import { engine, Slice, slice_util, type Tensor, util } from '@tensorflow/tfjs-core';
import type { KernelCall, RepairedKernel } from './definition.ts';
import { type WasmBackend, wasmBackend } from './wasm-memory.ts';

type Values = ReturnType<WasmBackend['typedArrayFromHeap']>;

/** Runs shorter than this are copied number by number: a view of them costs more than they do. */
const shortRun = 16;

function copyRun(from: Values, to: Values, source: number, target: number, length: number): void {
  if (length >= shortRun) {
    to.set(from.subarray(source, source + length), target);
    return;
  }
  for (let i = 0; i < length; i++) to[target + i] = from[source + i];
}

/** Copies a box out of an array, one run of neighbouring values at a time. */
function copyBox(from: Values, to: Values, shape: number[], begin: number[], size: number[]): void {
  const strides = [...util.computeStrides(shape), 1];
  // The axes behind the last one that is cut are copied whole.
  let cut = shape.length - 1;
  while (cut > 0 && size[cut] === shape[cut]) cut--;
  const run = size[cut] * strides[cut];
  const first = begin.reduce((offset, at, axis) => offset + at * strides[axis], 0);
  const index = new Array<number>(cut).fill(0);
  let source = first;
  for (let target = 0; target < to.length; target += run) {
    copyRun(from, to, source, target, run);
    for (let axis = cut - 1; axis >= 0; axis--) {
      index[axis]++;
      source += strides[axis];
      if (index[axis] < size[axis]) break;
      source -= size[axis] * strides[axis];
      index[axis] = 0;
    }
  }
}

function sliced({ inputs: { x }, attrs }: KernelCall): Tensor {
  const backend = wasmBackend();
  const [begin, size] = slice_util.parseSliceParams(x, attrs.begin as number[], attrs.size as number[]);
  // Before the views are taken: the memory may move when it grows.
  const out = backend.makeOutput(size, x.dtype);
  const to = backend.typedArrayFromHeap(out);
  if (to.length > 0) copyBox(backend.typedArrayFromHeap(x), to, x.shape, begin, size);
  return engine().makeTensorFromTensorInfo(out);
}

/** wasm copies the whole input, however small the slice. */
export const repairedSlice: RepairedKernel[] = [
  {
    kernel: Slice,
    backends: ['wasm'],
    applies: ({ inputs: { x } }) => x.dtype !== 'string' && x.rank > 0,
    run: sliced,
  },
];
