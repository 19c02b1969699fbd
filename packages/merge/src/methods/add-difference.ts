import { baseOf, defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { number } from './parameter.ts';

export interface AddDifferenceParameters {
  readonly alpha: number;
}

/** The first model with what the second has beyond the base: a + alpha (b - base). */
export function addDifference(
  inputs: MergeInputs,
  { alpha }: AddDifferenceParameters,
  out = emptyLike(inputs),
): Float32Array {
  const [a, b] = inputs.tensors;
  const base = baseOf('add_difference', inputs);
  for (let i = 0; i < out.length; i++) out[i] = a[i] + alpha * (b[i] - base[i]);
  return out;
}

export const addDifferenceMethod = defineMethod<AddDifferenceParameters>({
  name: 'add_difference',
  summary: 'the first model with what the second has beyond the base',
  source: 'the checkpoint merger of stable-diffusion-webui',
  withBase: { min: 2, max: 2 },
  elementwise: true,
  parameters: { alpha: number({ scope: 'merge', default: 1, summary: 'how much of the difference is added' }) },
  merge: addDifference,
});
