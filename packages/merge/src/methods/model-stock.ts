import { baseOf, defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { flag } from './parameter.ts';

/** Shorter products of lengths are taken for this. @source mergekit model_stock */
const LEAST_LENGTHS = 1e-6;
/** Where the denominator is nearer to 0, opposing models cancel out, and the base stays. */
const SINGULAR = 1e-6;

export interface ModelStockParameters {
  /** Each output's weights by themselves, instead of the tensor as one vector. */
  readonly filter_wise: boolean;
}

/** The mean cosine between what each two models have beyond the base, over the values from `start` to `end`. */
function meanCosine(tensors: readonly Float32Array[], base: Float32Array, start: number, end: number): number {
  const count = tensors.length;
  const products = new Float64Array(count * count);
  const offsets = new Float64Array(count);
  for (let i = start; i < end; i++) {
    for (let k = 0; k < count; k++) {
      offsets[k] = Math.fround(tensors[k][i] - base[i]);
      for (let j = 0; j <= k; j++) products[k * count + j] += offsets[k] * offsets[j];
    }
  }
  let sum = 0;
  for (let k = 1; k < count; k++) {
    for (let j = 0; j < k; j++) {
      const lengths = Math.sqrt(products[k * count + k]) * Math.sqrt(products[j * count + j]);
      sum += Math.max(-1, Math.min(1, products[k * count + j] / Math.max(lengths, LEAST_LENGTHS)));
    }
  }
  return sum / ((count * (count - 1)) / 2);
}

/** From the base towards the models' mean, as far as the models agree.
 * @source arXiv 2403.19522, equation for N fine-tuned models; mergekit model_stock */
export function modelStock(
  inputs: MergeInputs,
  { filter_wise }: ModelStockParameters,
  out = emptyLike(inputs),
): Float32Array {
  const { tensors, shape } = inputs;
  const base = baseOf('model_stock', inputs);
  const filters = filter_wise && shape.length > 1 && out.length > 0 ? shape[0] : 1;
  const size = out.length / filters;
  const count = tensors.length;
  for (let filter = 0; filter < filters; filter++) {
    const [start, end] = [filter * size, (filter + 1) * size];
    const cosine = meanCosine(tensors, base, start, end);
    const denominator = 1 + (count - 1) * cosine;
    const share = Math.abs(denominator) < SINGULAR ? 0 : (count * cosine) / denominator;
    for (let i = start; i < end; i++) {
      let sum = 0;
      for (let k = 0; k < count; k++) sum += tensors[k][i];
      out[i] = (share * sum) / count + (1 - share) * base[i];
    }
  }
  return out;
}

export const modelStockMethod = defineMethod<ModelStockParameters>({
  name: 'model_stock',
  summary: "from the base towards the models' mean, as far as the models agree",
  source: 'arXiv 2403.19522',
  withBase: { min: 2, max: Number.POSITIVE_INFINITY },
  elementwise: false,
  parameters: { filter_wise: flag("each output's weights by themselves", false) },
  merge: modelStock,
});
