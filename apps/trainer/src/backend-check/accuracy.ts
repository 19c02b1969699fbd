import { dispose, grads, mul, sum, type Tensor, tensor, tidy, util } from '@tensorflow/tfjs-core';
import type { CheckCase } from './cases.ts';
import { seededValues } from './random.ts';
import type { Values } from './reference.ts';

/** Allowed differences, as a share of the largest expected magnitude. */
export const FORWARD_TOLERANCE = 1e-4;
export const GRADIENT_TOLERANCE = 1e-3;

/** How far a backend is from double precision on one op; `failure` says why it could not be run. */
export interface AccuracyResult {
  name: string;
  /** Largest difference of the values, as a share of the largest value. */
  forward?: number;
  /** The same for the gradients; absent where the op has none. */
  gradient?: number;
  ok: boolean;
  failure?: string;
}

/** The largest difference as a share of the largest expected magnitude; NaN anywhere gives NaN. */
export function relativeDifference(actual: ArrayLike<number>, expected: Values): number {
  if (actual.length !== expected.length) return Number.NaN;
  let [worst, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Number.NaN;
    worst = Math.max(worst, difference);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return largest === 0 ? worst : worst / largest;
}

async function readAll(tensors: readonly Tensor[]): Promise<ArrayLike<number>[]> {
  const values = await Promise.all(tensors.map((t) => t.data()));
  dispose([...tensors]);
  return values;
}

async function compare(check: CheckCase): Promise<Omit<AccuracyResult, 'name' | 'ok'>> {
  const inputs = check.shapes.map((shape, i) => seededValues(util.sizeFromShape([...shape]), i + 1));
  const wide = inputs.map((values) => Float64Array.from(values));
  const tensors = () => inputs.map((values, i) => tensor(values, [...check.shapes[i]!]));
  const [value] = await readAll([tidy(() => check.run(tensors()))]);
  const seed = seededValues(value!.length, 99);
  const expected = check.reference(wide, Float64Array.from(seed));
  const forward = relativeDifference(value!, expected.value);
  if (!check.differentiable) return { forward };
  const weigh = (...xs: Tensor[]) => {
    const y = check.run(xs);
    return sum(mul(y, tensor(seed, y.shape)));
  };
  const gradients = await readAll(tidy(() => grads(weigh)(tensors())));
  const differences = gradients.map((g, i) => relativeDifference(g, expected.gradients[i]!));
  return { forward, gradient: differences.some(Number.isNaN) ? Number.NaN : Math.max(...differences) };
}

/** Runs one op and its gradient on the current backend against double precision. Never throws. */
export async function checkAccuracy(check: CheckCase): Promise<AccuracyResult> {
  try {
    const result = await compare(check);
    const ok =
      (result.forward ?? 0) <= FORWARD_TOLERANCE &&
      (result.gradient === undefined || result.gradient <= GRADIENT_TOLERANCE);
    return { name: check.name, ...result, ok };
  } catch (error) {
    return { name: check.name, ok: false, failure: error instanceof Error ? error.message : String(error) };
  }
}
