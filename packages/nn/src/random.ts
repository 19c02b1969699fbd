import { alignedFloats } from '@rass/kernels';
import { type Rank, type Tensor, tensor } from '@tensorflow/tfjs-core';
import type { Initializer } from './param-source.ts';

const MULBERRY_STEP = 0x6d2b79f5;

/** @throws when a seed is no whole number */
export function checkSeed(where: string, seed: number): void {
  if (Number.isSafeInteger(seed)) return;
  throw new Error(`${where}: a seed is a whole number; got ${seed}; give one, such as 0`);
}

/** A uniform generator on [0, 1) (mulberry32), started from a seed and a name, so that a tensor's values do not
 * depend on which others were asked for before it. */
export function namedRandom(seed: number, name: string): () => number {
  let state = seed >>> 0;
  for (let i = 0; i < name.length; i++) state = Math.imul(state ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return () => {
    state = (state + MULBERRY_STEP) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Values from a uniform generator. @throws when given values are not as many as the tensor has */
export function initialValues(count: number, init: Initializer, next: () => number): Float32Array<ArrayBuffer> {
  if (init.kind === 'values' && init.values.length !== count) {
    throw new Error(`nn: initial values are as many as the tensor has, ${count}; got ${init.values.length}; give each`);
  }
  const values = alignedFloats(count);
  if (init.kind === 'values') {
    values.set(init.values);
    return values;
  }
  if (init.kind === 'constant') return values.fill(init.value);
  if (init.kind === 'uniform') {
    for (let i = 0; i < count; i++) values[i] = (2 * next() - 1) * init.bound;
    return values;
  }
  for (let i = 0; i < count; i += 2) {
    // Box-Muller; 1 - u keeps the logarithm finite.
    const radius = init.deviation * Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

type Length<S extends readonly number[]> = number extends S['length'] ? never : S['length'];

/** A tensor of as many axes as the shape has numbers, where that is known. */
export type TensorOfShape<S extends readonly number[]> = `R${Length<S>}` extends keyof typeof Rank
  ? Tensor<(typeof Rank)[`R${Length<S>}`]>
  : Tensor;

/** Standard normal noise from a seed, the same on every backend, for any whole number (TensorFlow.js's own randomNormal
 * takes 0 for no seed). The values are not PyTorch's for that seed. @shape any @throws when the seed is no whole number */
export function normalNoise<const S extends readonly number[]>(shape: S, seed: number): TensorOfShape<S> {
  checkSeed('normalNoise', seed);
  const count = shape.reduce((a, b) => a * b, 1);
  const values = initialValues(count, { kind: 'normal', deviation: 1 }, namedRandom(seed, 'noise'));
  return tensor(values, [...shape]) as unknown as TensorOfShape<S>;
}
