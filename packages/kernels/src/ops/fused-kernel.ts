import { engine, getKernel, type NamedAttrMap, type Tensor } from '@tensorflow/tfjs-core';

/** Runs a kernel of ours by name where the current backend has registered one, else returns undefined, and the
 * caller composes the result from TensorFlow.js ops; so too where the kernel's answer is empty, because it cannot
 * take these inputs. Called where nothing is recorded, as inside a customGrad. */
export function runFusedKernel(
  name: string,
  inputs: Record<string, Tensor>,
  attrs: NamedAttrMap,
): Tensor[] | undefined {
  if (getKernel(name, engine().backendName) === undefined) return undefined;
  const out = engine().runKernel(name, inputs, attrs) as Tensor | Tensor[];
  if (!Array.isArray(out)) return [out];
  return out.length === 0 ? undefined : out;
}

/** Whether what is computed now goes on a gradient tape. Fused ops must not: their gradients in tfjs-core compute
 * every input's, a frozen weight's too, and refuse dilation. */
export function isRecording(): boolean {
  const { gradientDepth, kernelDepth } = engine().state;
  return gradientDepth > 0 && kernelDepth === 0;
}

/** Runs a fused kernel that is itself a gradient, unless an outer tape records: it has no gradient in its turn, and the
 * caller composes the result then, too. */
export function runFusedGradient(
  name: string,
  inputs: Record<string, Tensor>,
  attrs: NamedAttrMap,
): Tensor[] | undefined {
  return isRecording() ? undefined : runFusedKernel(name, inputs, attrs);
}
