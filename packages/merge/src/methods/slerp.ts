import { defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { number } from './parameter.ts';

/** Beyond this cosine two tensors are taken for parallel, and interpolated in a straight line. @source mergekit slerp */
const PARALLEL = 0.9995;
/** Shorter tensors have no direction. */
const NO_LENGTH = 1e-8;

export interface SlerpParameters {
  /** 0 gives the first, 1 the second. */
  readonly t: number;
}

const lengthOf = (values: Float32Array): number => {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i] * values[i];
  const length = Math.sqrt(squares);
  return length > NO_LENGTH ? length : 1;
};

/** What each of two tensors is multiplied by on the arc between them. */
function arcFactors(cosine: number, t: number): [number, number] {
  if (Math.abs(cosine) > PARALLEL) return [1 - t, t];
  const angle = Math.acos(cosine);
  return [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
}

/** The way from the base to the model, or from the first of two models to the second, along the arc between their directions.
 * The tensor is one vector. @source Shoemake 1985, Animating rotation with quaternion curves; mergekit slerp */
export function slerp(inputs: MergeInputs, { t }: SlerpParameters, out = emptyLike(inputs)): Float32Array {
  const [a, b] = inputs.base === undefined ? inputs.tensors : [inputs.base, inputs.tensors[0]];
  let product = 0;
  for (let i = 0; i < a.length; i++) product += a[i] * b[i];
  const cosine = Math.max(-1, Math.min(1, product / lengthOf(a) / lengthOf(b)));
  const [fromA, fromB] = arcFactors(cosine, t);
  for (let i = 0; i < out.length; i++) out[i] = fromA * a[i] + fromB * b[i];
  return out;
}

export const slerpMethod = defineMethod<SlerpParameters>({
  name: 'slerp',
  summary: 'from one model to another along the arc between their directions, tensor by tensor',
  source: 'Shoemake 1985',
  withBase: { min: 1, max: 1 },
  withoutBase: { min: 2, max: 2 },
  elementwise: false,
  parameters: {
    t: number({ scope: 'merge', min: 0, max: 1, summary: '0 gives the base or first model, 1 the other' }),
  },
  merge: slerp,
});
