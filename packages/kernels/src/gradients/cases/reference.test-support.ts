import { activateBackend, type BackendName, randomValues } from '@rass/testkit';
import { grads, memory, mul, sum, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { type CaseInput, caseTensor, type GradientCase } from './case.test-support.ts';

/** Half the distance of the inner pair of points of a difference quotient. */
const step = 0.01;
const probesPerInput = 24;

/** Finite differences at some elements of one input. */
export interface Probes {
  positions: number[];
  slopes: number[];
}

/** What every backend has to give for a case. */
export interface Reference {
  output: ArrayLike<number>;
  /** By float input, in order. */
  probes: Probes[];
  /** Whole gradients, from the cpu backend. */
  gradients: ArrayLike<number>[];
}

const floatInputs = (inputs: CaseInput[]): number[] =>
  inputs.flatMap(({ dtype }, i) => (dtype === 'float32' ? [i] : []));

const weightsOf = (size: number): Float32Array => randomValues(size, { low: 0.5, high: 1.5, seed: 7 });

/** The output, read back. */
async function valuesOf({ f, inputs }: GradientCase, which = -1, at = -1, delta = 0): Promise<Float32Array> {
  const y = tidy(() => f(...inputs.map((input, i) => caseTensor(input, i === which ? at : -1, delta))));
  const values = (await y.data()) as Float32Array;
  y.dispose();
  return values;
}

/** The gradients of sum(weights * f) by the float inputs, on the current backend; throws where tensors leak. */
export async function analyticGradients({ f, inputs, name }: GradientCase): Promise<ArrayLike<number>[]> {
  const before = memory().numTensors;
  const which = floatInputs(inputs);
  const gradients = tidy(() => {
    const all = inputs.map((input) => caseTensor(input));
    const loss = (...xs: Tensor[]): Tensor => {
      const y = f(...all.map((x, i) => (which.includes(i) ? xs[which.indexOf(i)] : x)));
      return sum(mul(y, tensor(weightsOf(y.size), y.shape)));
    };
    return grads(loss as (...xs: Tensor[]) => Tensor)(which.map((i) => all[i]));
  });
  const values = await Promise.all(gradients.map((gradient) => gradient.data()));
  for (const gradient of gradients) gradient.dispose();
  const left = memory().numTensors - before;
  if (left !== 0) throw new Error(`${name}: ${left} tensors left behind`);
  return values;
}

/** The slope by one element, with an error of the fourth order; summed in float64, so that only f itself is rounded. */
async function slope(gradientCase: GradientCase, which: number, at: number, weights: Float32Array): Promise<number> {
  const original = Math.fround(gradientCase.inputs[which].values[at]);
  const difference = async (delta: number): Promise<number> => {
    const high = await valuesOf(gradientCase, which, at, delta);
    const low = await valuesOf(gradientCase, which, at, -delta);
    // The points that float32 can hold, which are not exactly delta away.
    const distance = Math.fround(original + delta) - Math.fround(original - delta);
    let total = 0;
    for (let i = 0; i < high.length; i++) total += weights[i] * (high[i] - low[i]);
    return total / distance;
  };
  return (4 * (await difference(step)) - (await difference(2 * step))) / 3;
}

async function probesOf(gradientCase: GradientCase, which: number, weights: Float32Array): Promise<Probes> {
  const size = gradientCase.inputs[which].values.length;
  const count = Math.min(size, probesPerInput);
  const positions = Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
  const slopes: number[] = [];
  for (const at of positions) slopes.push(await slope(gradientCase, which, at, weights));
  return { positions, slopes };
}

const references = new Map<string, Reference>();

/** The reference of a case, computed once on the cpu backend; leaves `backend` current. */
export async function referenceOf(gradientCase: GradientCase, backend: BackendName): Promise<Reference> {
  const known = references.get(gradientCase.name);
  if (known !== undefined) return known;
  await activateBackend('cpu');
  const output = await valuesOf(gradientCase);
  const weights = weightsOf(output.length);
  const probes: Probes[] = [];
  for (const which of floatInputs(gradientCase.inputs)) probes.push(await probesOf(gradientCase, which, weights));
  const reference = { output, probes, gradients: await analyticGradients(gradientCase) };
  references.set(gradientCase.name, reference);
  await activateBackend(backend);
  return reference;
}

/** The output of a case on the current backend. */
export async function outputOf(gradientCase: GradientCase): Promise<ArrayLike<number>> {
  return valuesOf(gradientCase);
}
