import { Tensor, util } from '@tensorflow/tfjs-core';
import { anything, checkOptions, type OptionRules, oneOf } from '../options.ts';
import { differentiate } from './differentiate.ts';
import { installedEngine } from './engine.ts';

export interface GradientsOptions {
  /** Gradient of the value, of its shape; by default ones. */
  dy?: Tensor;
  /** What to do about a tensor that the value does not depend on; by default an error that names it. */
  unconnected?: 'error' | 'zeros';
}

type Named = Record<string, Tensor>;

/** One gradient for each tensor, under its name. */
export type GradientsOf<T extends Named> = { [Name in keyof T]: Tensor };

function checkTensors(caller: string, tensors: Named): void {
  const names = Object.keys(tensors);
  if (names.length === 0)
    throw new Error(`${caller}: there must be a tensor to differentiate by; got none; name at least one`);
  for (const name of names) {
    const { dtype } = tensors[name];
    if (dtype !== 'float32') {
      throw new Error(`${caller}: gradients are by float32 tensors; "${name}" is ${dtype}; cast it, or leave it out`);
    }
  }
}

function checkValue(caller: string, value: unknown, dy: Tensor | undefined): Tensor {
  if (!(value instanceof Tensor))
    throw new Error(`${caller}: the function must return one tensor; got ${typeof value}; return the loss`);
  if (value.dtype !== 'float32') {
    throw new Error(
      `${caller}: the value must be float32; got ${value.dtype}; whole numbers and truth values have no gradient`,
    );
  }
  if (dy !== undefined && (dy.dtype !== 'float32' || !util.arraysEqual(dy.shape, value.shape))) {
    throw new Error(
      `${caller}: dy must be like the value, float32 [${value.shape}]; got ${dy.dtype} [${dy.shape}]; reshape or cast it`,
    );
  }
  return value;
}

interface ValueAndGradients<T extends Named> {
  value: Tensor;
  gradients: GradientsOf<T>;
}

function run<T extends Named>(
  caller: string,
  f: (tensors: T) => Tensor,
  tensors: T,
  { dy, unconnected = 'error' }: GradientsOptions,
): ValueAndGradients<T> {
  const engine = installedEngine(caller);
  checkTensors(caller, tensors);
  const names = Object.keys(tensors);
  return engine.tidy(caller, () => {
    const { values, gradients } = differentiate(
      () => [checkValue(caller, f(tensors), dy)],
      names.map((name) => tensors[name]),
      dy === undefined ? undefined : [dy],
    );
    const missing = names.filter((_, i) => gradients[i] === null);
    if (missing.length > 0 && unconnected === 'error') {
      const shapes = missing.map((name) => `"${name}" [${tensors[name].shape}]`).join(', ');
      throw new Error(
        `${caller}: the value must depend on each tensor; it does not on ${shapes}; leave it out, or pass { unconnected: 'zeros' }`,
      );
    }
    const found = names.map((name, i) => [
      name,
      gradients[i] ?? engine.makeTensor(new Float32Array(tensors[name].size), tensors[name].shape, 'float32'),
    ]);
    return { value: values[0], gradients: Object.fromEntries(found) as GradientsOf<T> };
  });
}

const GRADIENTS_OPTIONS_RULES: OptionRules<GradientsOptions> = { dy: anything, unconnected: oneOf('error', 'zeros') };

/** The value of f and its gradients by each of the named tensors, which may be variables that f reads from outside.
 * @shape each gradient as its tensor @throws when the value does not depend on a tensor, naming it */
export function valueAndGradients<T extends Named>(
  f: (tensors: T) => Tensor,
  tensors: T,
  options: GradientsOptions = {},
): ValueAndGradients<T> {
  checkOptions('valueAndGradients', options, GRADIENTS_OPTIONS_RULES);
  return run('valueAndGradients', f, tensors, options);
}

/** The gradients of f by each of the named tensors. @shape each gradient as its tensor
 * @throws when the value does not depend on a tensor, naming it */
export function gradients<T extends Named>(
  f: (tensors: T) => Tensor,
  tensors: T,
  options: GradientsOptions = {},
): GradientsOf<T> {
  checkOptions('gradients', options, GRADIENTS_OPTIONS_RULES);
  const engine = installedEngine('gradients');
  return engine.tidy('gradients', () => run('gradients', f, tensors, options).gradients);
}
