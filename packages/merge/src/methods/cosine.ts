import { defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { choice, number } from './parameter.ts';

const TOWARDS = ['similar', 'different'] as const;

export interface CosineParameters {
  /** The most that is taken of the second model. */
  readonly t: number;
  /** Where: in the outputs whose weights point the same way in both models, or in the others. */
  readonly where: (typeof TOWARDS)[number];
}

/** The cosine between two rows, 0 where they point away from each other or one is nothing but zeros. */
function likeness(a: Float32Array, b: Float32Array, start: number, end: number): number {
  let [squaresA, squaresB, product] = [0, 0, 0];
  for (let i = start; i < end; i++) {
    squaresA += a[i] * a[i];
    squaresB += b[i] * b[i];
    product += a[i] * b[i];
  }
  const lengths = Math.sqrt(squaresA) * Math.sqrt(squaresB);
  return lengths === 0 ? 0 : Math.max(0, Math.min(1, product / lengths));
}

/** The base or first model with a share of the other, which for each output is `t` times how alike, or unlike, its weights are.
 * The idea of choosing by likeness is that of supermerger's cosineA and cosineB. */
export function cosine(inputs: MergeInputs, { t, where }: CosineParameters, out = emptyLike(inputs)): Float32Array {
  const [a, b] = inputs.base === undefined ? inputs.tensors : [inputs.base, inputs.tensors[0]];
  const rows = inputs.shape.length > 1 && out.length > 0 ? inputs.shape[0] : 1;
  const size = out.length / rows;
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * size, (row + 1) * size];
    const alike = likeness(a, b, start, end);
    const share = t * (where === 'similar' ? alike : 1 - alike);
    for (let i = start; i < end; i++) out[i] = (1 - share) * a[i] + share * b[i];
  }
  return out;
}

export const cosineMethod = defineMethod<CosineParameters>({
  name: 'cosine',
  summary: 'a share of the second model in each output, by how alike the two are there',
  source: "the idea of sd-webui-supermerger's cosineA and cosineB",
  withBase: { min: 1, max: 1 },
  withoutBase: { min: 2, max: 2 },
  elementwise: false,
  parameters: {
    t: number({ scope: 'merge', min: 0, max: 1, default: 1, summary: 'the most that is taken of the second' }),
    where: choice(TOWARDS, 'in the outputs that are alike, or in the others', 'similar'),
  },
  merge: cosine,
});
