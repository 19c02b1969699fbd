import { Tensor } from '@tensorflow/tfjs-core';
import { differentiate } from './differentiate.ts';
import { type AutodiffEngine, autodiffEngine, installedKey } from './engine.ts';
import { observeKernels, observing } from './observation.ts';
import { recordNode, relationTo, tensorsToSave } from './recording.ts';

function gradients(
  f: () => Tensor,
  xs: Tensor[],
  dy: Tensor | null = null,
  allowNoGradients = false,
): ReturnType<AutodiffEngine['gradients']> {
  if (xs.length === 0) throw new Error('gradients() received an empty list of xs.');
  if (dy !== null && dy.dtype !== 'float32') throw new Error(`dy must have 'float32' dtype, but has '${dy.dtype}'`);
  const checked = (): Tensor[] => {
    const y = f();
    if (!(y instanceof Tensor)) throw new Error('The result y returned by f() must be a tensor.');
    return [y];
  };
  const { values, gradients: grads } = differentiate(checked, xs, dy === null ? undefined : [dy]);
  if (!allowNoGradients && grads.every((gradient) => gradient === null)) {
    throw new Error(
      'Cannot compute gradient of y=f(x) with respect to x. Make sure that the f you passed encloses all operations that lead from x to y.',
    );
  }
  return { value: values[0], grads };
}

/** Gives the global engine our tape: gradients inside gradients work, an exception leaks nothing, only what a gradient
 * needs is saved, and it is freed as soon as it has been used. Everything built on it (tf.grads, variableGrads,
 * optimisers) gains. Idempotent; one tape serves all copies of this package. */
export function installAutodiff(): void {
  const engine = autodiffEngine();
  if (engine[installedKey]) return;
  engine[installedKey] = { differentiate, observing, relationTo };
  engine.getTensorsForGradient = tensorsToSave(engine, engine.getTensorsForGradient);
  engine.addTapeNode = recordNode(engine);
  engine.runKernelFunc = observeKernels(engine, engine.runKernelFunc);
  engine.gradients = gradients;
}
