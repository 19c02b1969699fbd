import { baseOf, defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { number } from './parameter.ts';

/** Smaller differences are taken for this. @source mergekit nearswap */
const LEAST_DIFFERENCE = 1e-6;

export interface NearswapParameters {
  readonly t: number;
}

/** The base, in which values take the model's the more, the nearer the two are: wholly within `t`. @source mergekit nearswap */
export function nearswap(inputs: MergeInputs, { t }: NearswapParameters, out = emptyLike(inputs)): Float32Array {
  const [other] = inputs.tensors;
  const base = baseOf('nearswap', inputs);
  for (let i = 0; i < out.length; i++) {
    const difference = Math.max(Math.abs(base[i] - other[i]), LEAST_DIFFERENCE);
    const share = Math.min(1, t / difference);
    out[i] = share * other[i] + (1 - share) * base[i];
  }
  return out;
}

export const nearswapMethod = defineMethod<NearswapParameters>({
  name: 'nearswap',
  summary: "the base with the model's values where the two are near",
  source: 'mergekit nearswap',
  withBase: { min: 1, max: 1 },
  elementwise: true,
  parameters: {
    t: number({ scope: 'merge', min: 0, summary: 'the distance within which values are taken over wholly' }),
  },
  merge: nearswap,
});
