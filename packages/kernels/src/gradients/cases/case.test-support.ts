import { randomValues, seededRandom } from '@rass/testkit';
import { type Tensor, tensor, util } from '@tensorflow/tfjs-core';

/** One input of a case; its values are the same on every backend. */
export interface CaseInput {
  shape: number[];
  values: number[];
  dtype: 'float32' | 'int32' | 'bool';
}

/** A function whose gradients by all its float inputs are compared with finite differences. */
export interface GradientCase {
  name: string;
  /** Kernels of the registry whose gradients it runs. */
  covers: string[];
  inputs: CaseInput[];
  f: (...xs: Tensor[]) => Tensor;
  /** SwiftShader, the software GPU of the tests, computes sines to 2e-4: the allowed difference on webgpu. */
  webgpuTolerance?: number;
}

/** Uniform values. */
export function uniform(shape: number[], { low = -1, high = 1, seed = 1 } = {}): CaseInput {
  return { shape, dtype: 'float32', values: [...randomValues(util.sizeFromShape(shape), { low, high, seed })] };
}

/** Shuffled values no two of which, and none of which and 0, are nearer than the probes move them. */
export function distinct(shape: number[], { gap = 0.1, seed = 1 } = {}): CaseInput {
  const count = util.sizeFromShape(shape);
  const values = Array.from({ length: count }, (_, i) => (i - Math.floor(count / 2) + 0.5) * gap);
  const next = seededRandom(seed);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]];
  }
  return { shape, dtype: 'float32', values };
}

/** Given float values. */
export function given(shape: number[], values: number[]): CaseInput {
  return { shape, dtype: 'float32', values };
}

/** Given indices. */
export function indices(shape: number[], values: number[]): CaseInput {
  return { shape, dtype: 'int32', values };
}

/** A given mask. */
export function mask(shape: number[], values: number[]): CaseInput {
  return { shape, dtype: 'bool', values };
}

/** The tensor of an input, with one of its values moved. */
export function caseTensor({ shape, values, dtype }: CaseInput, at = -1, delta = 0): Tensor {
  const moved = at < 0 ? values : values.map((value, i) => (i === at ? value + delta : value));
  return tensor(moved, shape, dtype);
}
