import { defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { number } from './parameter.ts';

export interface PassthroughParameters {
  readonly scale: readonly number[];
}

/** One model, multiplied. @source mergekit passthrough */
export function passthrough(
  inputs: MergeInputs,
  { scale }: PassthroughParameters,
  out = emptyLike(inputs),
): Float32Array {
  const [values] = inputs.tensors;
  const [factor] = scale;
  if (factor === 1) out.set(values);
  else for (let i = 0; i < out.length; i++) out[i] = factor * values[i];
  return out;
}

export const passthroughMethod = defineMethod<PassthroughParameters>({
  name: 'passthrough',
  summary: 'one model as it is, or multiplied; with loras, the model with them folded in',
  source: 'mergekit passthrough',
  withoutBase: { min: 1, max: 1 },
  elementwise: true,
  parameters: { scale: number({ scope: 'model', default: 1, summary: 'what the values are multiplied by' }) },
  merge: passthrough,
});
