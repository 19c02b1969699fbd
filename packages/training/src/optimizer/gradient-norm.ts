import { clipByValue, dispose, mul, stack, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';

export interface GradientNormOptions {
  /** The norm is brought down to this, all gradients by the same scale; default: no limit. */
  readonly clip?: number;
  /** Where some number is infinite or none: an error, or `nonFinite` names it and the caller leaves the step out. */
  readonly onNonFinite?: 'error' | 'skip';
}

export interface GradientNorm {
  /** Of all gradients together, before clipping. */
  readonly norm: number;
  /** What the gradients are to be multiplied by: `gradientScale` of an optimiser's step. */
  readonly scale: number;
  /** The key of the first gradient whose squares do not sum to a finite number. */
  readonly nonFinite?: string;
}

/** torch's guard against a norm of zero; it makes a clipped norm smaller by the same share. */
const GUARD = 1e-6;

function checkLimit(where: string, limit: number): void {
  if (limit > 0) return;
  throw new Error(`${where}: a limit is more than 0; got ${limit}; leave it out for none`);
}

/** Rows first: a running sum of millions of squares in float32 would lose digits. */
function squaredSum(x: Tensor): Tensor {
  const squares = mul(x, x);
  return sum(squares.rank > 1 ? sum(squares, -1) : squares);
}

/** The norm of all gradients together (root of the sum of all squares), and the scale that brings it down to a limit.
 * One number per gradient is read back.
 * @throws when a gradient is not finite, naming it, unless told to skip
 * @source torch.nn.utils.clip_grad_norm_ */
export async function gradientNorm(
  gradients: Readonly<Record<string, Tensor>>,
  { clip = Number.POSITIVE_INFINITY, onNonFinite = 'error' }: GradientNormOptions = {},
): Promise<GradientNorm> {
  checkLimit('gradientNorm', clip);
  const keys = Object.keys(gradients);
  if (keys.length === 0) throw new Error('gradientNorm: there is a gradient; got none; take them by the variables');
  const sums_G = tidy(() => stack(keys.map((key) => squaredSum(gradients[key]))));
  const sums: readonly number[] = [...(await sums_G.data())];
  dispose(sums_G);
  const norm = Math.sqrt(sums.reduce((total, each) => total + each, 0));
  const bad = sums.findIndex((each) => !Number.isFinite(each));
  if (bad < 0) return { norm, scale: Math.min(1, clip / (norm + GUARD)) };
  if (onNonFinite === 'skip') return { norm, scale: 0, nonFinite: keys[bad] };
  throw new Error(
    `gradientNorm: gradients are finite; the squares of "${keys[bad]}" sum to ${sums[bad]}; lower the learning rate, ` +
      `or pass { onNonFinite: 'skip' } and leave such steps out`,
  );
}

/** New gradients with every number between -limit and limit. The given ones stay the caller's.
 * @source torch.nn.utils.clip_grad_value_ */
export function clipGradientValues<G extends Readonly<Record<string, Tensor>>>(gradients: G, limit: number): G {
  checkLimit('clipGradientValues', limit);
  const clipped = tidy(() =>
    Object.fromEntries(Object.entries(gradients).map(([key, each]) => [key, clipByValue(each, -limit, limit)])),
  );
  return clipped as unknown as G;
}
