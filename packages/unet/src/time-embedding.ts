import { hostValues, type Linear, linear, type ParamSource } from '@rass/nn';
import { gather, type Tensor, type Tensor1D, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import { type Activation, activate } from './activation.ts';
import type { UnetConfig } from './config.ts';

/** The longest wave of the sinusoid, in steps. @source diffusers get_timestep_embedding */
const MAX_PERIOD = 10_000;
/** The steps that a tensor of timesteps may name: those of Stable Diffusion's noise schedules. */
const TABLE_STEPS = 1000;

/** Two layers over a sinusoid or over another embedding. */
export interface TimestepEmbedding {
  readonly first: Linear;
  readonly second: Linear;
}

export function timestepEmbeddingParams(from: ParamSource, inputs: number, width: number): TimestepEmbedding {
  return { first: from.at('linear_1').linear(inputs, width), second: from.at('linear_2').linear(width, width) };
}

/** @shape x [B, I] -> [B, W] @source diffusers TimestepEmbedding */
export function timestepEmbedding(p: TimestepEmbedding, x_BI: Tensor2D, activation: Activation): Tensor2D {
  return linear(p.second, activate(activation, linear(p.first, x_BI)));
}

/** Sines and cosines of each step at falling frequencies. Steps are rounded to float32 where PyTorch rounds them, because
 * at t = 999 that moves the angle by 3e-5; the sines themselves are exact, which they are not on every backend.
 * @shape [steps, width], row by row @source diffusers get_timestep_embedding */
function sinusoids(steps: readonly number[], time: UnetConfig['time']): Float32Array {
  const { sinusoid: width, cosineFirst, frequencyShift } = time;
  const half = Math.floor(width / 2);
  const [sineAt, cosineAt] = cosineFirst ? [half, 0] : [0, half];
  const logarithm = Math.fround(-Math.log(MAX_PERIOD));
  const frequencies = Array.from({ length: half }, (_, i) =>
    Math.fround(Math.exp(Math.fround(Math.fround(logarithm * i) / Math.fround(half - frequencyShift)))),
  );
  const values = new Float32Array(steps.length * width);
  steps.forEach((step, row) => {
    frequencies.forEach((frequency, i) => {
      const angle = Math.fround(Math.fround(step) * frequency);
      values[row * width + sineAt + i] = Math.sin(angle);
      values[row * width + cosineAt + i] = Math.cos(angle);
    });
  });
  return values;
}

/** Where in the noise schedule a sample is: one number for all samples, a number for each (fractions too), or an int32
 * tensor of whole steps from 0 to 999, [B]. Numbers are cheaper. Of a tensor that the GPU has made, no one looks at the
 * values: a step outside of that range then counts as no time at all, an embedding of zeros. */
export type Timestep = number | readonly number[] | Tensor1D;

function checkNumbers(steps: readonly number[], batch: number, what: string): void {
  if (steps.length === batch && steps.every(Number.isFinite)) return;
  throw new Error(
    `unet: ${what} is a finite number, or one for each sample; got [${steps}] for ${batch} samples; give ${batch}`,
  );
}

/** @shape [B, sinusoid width] @throws when there is not one step for each sample, a tensor is not int32, or holds what the
 * host knows to be no step */
export function timestepSinusoid(step: Timestep, batch: number, time: UnetConfig['time'], what = 'timestep'): Tensor2D {
  if (typeof step === 'object' && 'dtype' in step) return tensorSinusoid(step, batch, time, what);
  const steps = typeof step === 'number' ? Array<number>(batch).fill(step) : step;
  checkNumbers(steps, batch, what);
  return tensor2d(sinusoids(steps, time), [batch, time.sinusoid]);
}

function tensorSinusoid(step: Tensor, batch: number, time: UnetConfig['time'], what: string): Tensor2D {
  if (step.dtype !== 'int32' || step.size !== batch || step.rank > 1) {
    throw new Error(
      `unet: a tensor ${what} is int32 [B]; got ${step.dtype} [${step.shape}] for ${batch} samples; give numbers for fractions`,
    );
  }
  const wrong = Array.from(hostValues(step) ?? []).find((value) => value < 0 || value >= TABLE_STEPS);
  if (wrong !== undefined) {
    throw new Error(
      `unet: a tensor ${what} is from 0 to ${TABLE_STEPS - 1}; got ${wrong}; give numbers for other steps`,
    );
  }
  const steps = Array.from({ length: TABLE_STEPS }, (_, i) => i);
  return gather(tensor2d(sinusoids(steps, time), [TABLE_STEPS, time.sinusoid]), step as Tensor1D);
}
