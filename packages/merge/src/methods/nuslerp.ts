import { defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { flag, number } from './parameter.ts';

/** Shorter vectors are not brought to length 1. @source mergekit nuslerp */
const LEAST_LENGTH = 1e-7;
/** Below this, one minus the cosine's square is nothing. */
const PARALLEL = 1e-16;

export interface NuslerpParameters {
  readonly weight: readonly number[];
  /** The tensor is one vector. */
  readonly flatten: boolean;
  /** Without `flatten`: whether columns are the vectors, as mergekit means it, instead of rows. */
  readonly row_wise: boolean;
}

/** Vectors inside a tensor: `count` of `length` values that lie `stride` apart; the next vector starts `step` further on. */
interface Vectors {
  readonly count: number;
  readonly length: number;
  readonly stride: number;
  readonly step: number;
}

/** A tensor of more than two axes is a matrix of its first axis by all others. */
function vectorsOf(size: number, shape: readonly number[], { flatten, row_wise }: NuslerpParameters): Vectors {
  if (flatten || shape.length < 2 || size === 0) return { count: 1, length: size, stride: 1, step: 0 };
  const rows = shape[0];
  const columns = size / rows;
  return row_wise
    ? { count: columns, length: rows, stride: columns, step: 1 }
    : { count: rows, length: columns, stride: 1, step: columns };
}

/** What is interpolated: a model, or what it has beyond the base. */
type Reader = (i: number) => number;

function arcFactors(a: Reader, b: Reader, first: number, { length, stride }: Vectors, t: number): [number, number] {
  let [squaresA, squaresB, product] = [0, 0, 0];
  for (let k = 0, i = first; k < length; k++, i += stride) {
    const [x, y] = [a(i), b(i)];
    squaresA += x * x;
    squaresB += y * y;
    product += x * y;
  }
  const lengths = Math.max(Math.sqrt(squaresA), LEAST_LENGTH) * Math.max(Math.sqrt(squaresB), LEAST_LENGTH);
  const cosine = Math.max(-1, Math.min(1, product / lengths));
  if (1 - cosine * cosine <= PARALLEL) return [1 - t, t];
  const angle = Math.acos(cosine);
  return [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
}

/** Two models along the arc between their directions, or between what they have beyond the base; the second one's share of the
 * weights says how far. @source mergekit nuslerp */
export function nuslerp(inputs: MergeInputs, parameters: NuslerpParameters, out = emptyLike(inputs)): Float32Array {
  const { base, shape, tensors } = inputs;
  const total = parameters.weight[0] + parameters.weight[1];
  const t = Math.abs(total) < 1e-6 ? 0.5 : parameters.weight[1] / total;
  const reader = (values: Float32Array): Reader =>
    base === undefined ? (i) => values[i] : (i) => Math.fround(values[i] - base[i]);
  const [a, b] = [reader(tensors[0]), reader(tensors[1])];
  const vectors = vectorsOf(out.length, shape, parameters);
  for (let vector = 0; vector < vectors.count; vector++) {
    const first = vector * vectors.step;
    const [fromA, fromB] = arcFactors(a, b, first, vectors, t);
    for (let k = 0, i = first; k < vectors.length; k++, i += vectors.stride) {
      out[i] = (base === undefined ? 0 : base[i]) + (fromA * a(i) + fromB * b(i));
    }
  }
  return out;
}

export const nuslerpMethod = defineMethod<NuslerpParameters>({
  name: 'nuslerp',
  summary:
    'slerp by weights, of the models or of what they have beyond a base; whole tensors, or their rows or columns',
  source: 'mergekit nuslerp',
  withBase: { min: 2, max: 2 },
  withoutBase: { min: 2, max: 2 },
  elementwise: false,
  parameters: {
    weight: number({ scope: 'model', summary: "the second model's share of both says how far to go" }),
    flatten: flag('take the tensor for one vector', true),
    row_wise: flag('without flatten, take the columns for vectors, not the rows', false),
  },
  check({ flatten, row_wise }) {
    if (!flatten || !row_wise) return;
    throw new Error(
      'merge: nuslerp: row_wise counts where a tensor is not one vector; got flatten: true; set it to false',
    );
  },
  merge: nuslerp,
});
