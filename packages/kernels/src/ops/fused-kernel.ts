import { engine, getKernel, type NamedAttrMap, type Tensor } from '@tensorflow/tfjs-core';

/** Runs a kernel of ours by name where the current backend has registered one, else returns undefined, and the
 * caller composes the result from TensorFlow.js ops. Called inside a customGrad, so nothing is recorded twice. */
export function runFusedKernel(
  name: string,
  inputs: Record<string, Tensor>,
  attrs: NamedAttrMap,
): Tensor[] | undefined {
  if (getKernel(name, engine().backendName) === undefined) return undefined;
  const out = engine().runKernel(name, inputs, attrs) as Tensor | Tensor[];
  return Array.isArray(out) ? out : [out];
}
