import {
  add,
  concat,
  customGrad,
  erf,
  exp,
  mul,
  neg,
  sigmoid,
  split,
  square,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { runFusedGradient, runFusedKernel } from './fused-kernel.ts';

const SQRT_HALF = Math.SQRT1_2;
const INVERSE_SQRT_TWO_PI = 1 / Math.sqrt(2 * Math.PI);
/** The slope in OpenAI's CLIP: x * sigmoid(1.702 x). @source github.com/openai/CLIP model.py QuickGELU */
const QUICK_GELU_SLOPE = 1.702;

type Unary = (x: Tensor) => Tensor;

/** An elementwise function that keeps only its input for the backward pass, where the composed ops would keep each step. */
function elementwise(kernelName: string, forward: Unary, slope: Unary): <T extends Tensor>(x: T) => T {
  const op = customGrad((x, save) => {
    const value = runFusedKernel(kernelName, { x: x as Tensor }, {})?.[0] ?? tidy(() => forward(x as Tensor));
    // Last: what was saved of an op that failed is never freed.
    (save as (tensors: Tensor[]) => void)([x as Tensor]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor =>
      runFusedGradient(`${kernelName}Grad`, { x: saved[0], dy }, {})?.[0] ?? tidy(() => mul(dy, slope(saved[0])));
    return { value, gradFunc };
  });
  return <T extends Tensor>(x: T) => op(x) as T;
}

const gaussianCdf: Unary = (x) => mul(0.5, add(1, erf(mul(x, SQRT_HALF))));

/** SiLU, also called swish: x * sigmoid(x). @shape any -> same @source torch.nn.functional.silu */
export const silu = elementwise(
  'RassSilu',
  (x) => mul(x, sigmoid(x)),
  (x) => {
    const s = sigmoid(x);
    return mul(s, add(1, mul(x, sub(1, s))));
  },
);

/** GELU with the exact error function: x * Phi(x). @shape any -> same @source torch.nn.functional.gelu */
export const gelu = elementwise(
  'RassGelu',
  (x) => mul(x, gaussianCdf(x)),
  (x) => add(gaussianCdf(x), mul(x, mul(INVERSE_SQRT_TWO_PI, exp(mul(-0.5, square(x)))))),
);

/** OpenAI's approximation of GELU, which Stable Diffusion 1's text encoder uses: x * sigmoid(1.702 x).
 * @shape any -> same @source transformers QuickGELUActivation */
export const quickGelu = elementwise(
  'RassQuickGelu',
  (x) => mul(x, sigmoid(mul(QUICK_GELU_SLOPE, x))),
  (x) => {
    const s = sigmoid(mul(QUICK_GELU_SLOPE, x));
    return mul(s, add(1, mul(mul(QUICK_GELU_SLOPE, x), sub(1, s))));
  },
);

function gegluComposed(x: Tensor): Tensor {
  const [value, gate] = split(x, 2, -1);
  return mul(value, mul(gate, gaussianCdf(gate)));
}

function gegluGradient(x: Tensor, dy: Tensor): { value: Tensor; gate: Tensor } {
  const [value, gate] = split(x, 2, -1);
  const cdf = gaussianCdf(gate);
  const density = mul(INVERSE_SQRT_TWO_PI, exp(neg(mul(0.5, square(gate)))));
  return { value: mul(dy, mul(gate, cdf)), gate: mul(dy, mul(value, add(cdf, mul(gate, density)))) };
}

/** The gated GELU of Stable Diffusion's transformer blocks: the first half of the last axis times gelu of the second.
 * @shape [..., 2 D] -> [..., D] @throws when the last axis is odd @source diffusers GEGLU */
export function geglu<T extends Tensor>(x: T): T {
  const width = x.shape[x.rank - 1];
  if (width % 2 !== 0) {
    throw new Error(
      `geglu: the last axis holds values and gates, so it is even; got [${x.shape}]; project to twice the width first`,
    );
  }
  const op = customGrad((input, save) => {
    const t = input as Tensor;
    const value = runFusedKernel('RassGeglu', { x: t }, {})?.[0] ?? tidy(() => gegluComposed(t));
    (save as (tensors: Tensor[]) => void)([t]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor =>
      runFusedGradient('RassGegluGrad', { x: saved[0], dy }, {})?.[0] ??
      tidy(() => {
        const parts = gegluGradient(saved[0], dy);
        return concat([parts.value, parts.gate], -1);
      });
    return { value, gradFunc };
  });
  return op(x) as T;
}
