import { type DataType, engine, type NamedAttrMap, type Tensor, version_core } from '@tensorflow/tfjs-core';

export type NamedTensors = Record<string, Tensor>;

/** One recorded operation. The tensors in `inputs` and `outputs` may be disposed: only their ids, shapes and dtypes count. */
export interface TapeNode {
  id: number;
  kernelName: string;
  inputs: NamedTensors;
  outputs: Tensor[];
  /** Kept tensors which the gradient reads; they are disposed of when nothing needs them any more. */
  saved: Tensor[];
  /** The gradients of the `wanted` inputs; null is a gradient of zeros that nobody has to compute. */
  gradient?: (dys: (Tensor | null)[], wanted: string[]) => Record<string, Tensor | null>;
}

export type StockGradient = (
  dy: Tensor | Tensor[],
  saved: Tensor[],
  attrs: NamedAttrMap,
) => Record<string, () => Tensor>;

/** A call of a registered kernel, or of a function with a gradient of its own. */
export interface KernelCall {
  kernelName?: string;
  forwardFunc?: (backend: unknown, save: (tensors: Tensor[]) => void) => Tensor | Tensor[];
  backwardsFunc?: StockGradient | NullableGradient;
  inputs: NamedTensors;
  attrs?: NamedAttrMap;
}

/** Marks a gradient that takes null for an output that does not matter, and says which inputs are wanted. */
export const takesNulls: unique symbol = Symbol.for('@rass/kernels gradient takes nulls');

export type NullableGradient = ((
  dys: (Tensor | null)[],
  saved: Tensor[],
  wanted: string[],
) => Record<string, Tensor | null>) & { [takesNulls]: true };

interface EngineState {
  activeTape: TapeNode[] | null;
  gradientDepth: number;
  kernelDepth: number;
  nextTapeNodeId: number;
  activeScope: { id: number } | null;
}

/** What our tape does for checkpoint(), which programs without gradients hold, too, but never call. */
export interface Autodiff {
  differentiate(
    run: () => Tensor[],
    xs: readonly Tensor[],
    dys?: readonly (Tensor | null)[],
    keepValues?: boolean,
  ): { readonly gradients: (Tensor | null)[] };
  /** Runs `run` and shows `observer` the inputs of every kernel that it calls. */
  observing<T>(observer: (inputs: Tensor[]) => void, run: () => T): T;
  /** What a tensor is to a tape: watched, made of what is watched, or nothing. */
  relationTo(tape: TapeNode[], x: Tensor): 'watched' | 'made' | undefined;
}

/** Set on an engine that has our tape. */
export const installedKey: unique symbol = Symbol.for('@rass/kernels autodiff');

/** The parts of TensorFlow.js's engine that automatic differentiation stands on, some of which its types call private. */
export interface AutodiffEngine {
  state: EngineState;
  [installedKey]?: Autodiff;
  tidy<T>(name: string, run: () => T): T;
  makeTensor(values: Float32Array | Int32Array | Uint8Array, shape: number[], dtype: DataType): Tensor;
  runKernelFunc(call: KernelCall): Tensor | Tensor[];
  addTapeNode(
    kernelName: string,
    inputs: NamedTensors,
    outputs: Tensor[],
    gradient: StockGradient | NullableGradient | null,
    saved: Tensor[],
    attrs: NamedAttrMap,
  ): void;
  getTensorsForGradient(kernelName: string, inputs: NamedTensors, outputs: Tensor[]): Tensor[];
  gradients(
    f: () => Tensor,
    xs: Tensor[],
    dy?: Tensor | null,
    allowNoGradients?: boolean,
  ): { value: Tensor; grads: (Tensor | null)[] };
}

const reliedUpon = [
  'addTapeNode',
  'getTensorsForGradient',
  'gradients',
  'runKernelFunc',
  'makeTensor',
  'tidy',
] as const;

/** The global engine, seen with its private parts. @throws where a tfjs-core is built otherwise than 4.22's */
export function autodiffEngine(): AutodiffEngine {
  const found = engine() as unknown as AutodiffEngine;
  const missing = reliedUpon.filter((name) => typeof found[name] !== 'function');
  if (missing.length > 0) {
    throw new Error(
      `kernels: automatic differentiation needs the engine of @tensorflow/tfjs-core 4.22; ` +
        `version ${version_core} has no ${missing.join(', ')}; install 4.22`,
    );
  }
  return found;
}

/** The global engine. @throws where installGradients() has not given it our tape */
export function installedEngine(caller: string): AutodiffEngine & { [installedKey]: Autodiff } {
  const found = autodiffEngine();
  if (found[installedKey]) return found as AutodiffEngine & { [installedKey]: Autodiff };
  throw new Error(
    `${caller}: the repaired gradients must be installed; they are not; call selectBackend() or installGradients()`,
  );
}
