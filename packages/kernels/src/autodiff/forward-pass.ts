import { keep, type Tensor, util, zeros } from '@tensorflow/tfjs-core';
import { backpropagate, freeSaved } from './backpropagate.ts';
import { type AutodiffEngine, installedEngine, type TapeNode } from './engine.ts';
import type { GradientsOf } from './gradients.ts';
import { watch } from './recording.ts';

type Named = Record<string, Tensor>;

/** A forward pass that waits for its backward pass. */
export interface ForwardPass<T extends Named, O extends Named> {
  /** What the function returned; freed with the pass, unless it was one of its inputs. */
  readonly outputs: O;
  /** The gradients of the sum of all outputs times their `dys`, by each of the named tensors; an output without one does not matter.
   * Uses the pass up and frees it. A tensor on which no such output depends has a gradient of zeros. */
  gradients(dys: Partial<Record<keyof O, Tensor>>): GradientsOf<T>;
  /** Frees what the backward pass would have needed, and the outputs. Twice is harmless. */
  dispose(): void;
}

/** Records what `run` does on a tape of its own, and leaves the engine as it found it. */
function recorded<O extends Named>(engine: AutodiffEngine, tape: TapeNode[], xs: Tensor[], run: () => O): O {
  const { state } = engine;
  const { activeTape, gradientDepth, kernelDepth } = state;
  state.activeTape = tape;
  state.gradientDepth = 1;
  state.kernelDepth = 0;
  try {
    watch(tape, xs);
    return engine.tidy('forwardPass', run);
  } catch (error) {
    freeSaved(tape);
    throw error;
  } finally {
    state.activeTape = activeTape;
    state.gradientDepth = gradientDepth;
    state.kernelDepth = kernelDepth;
  }
}

function checkDys(outputs: Named, dys: Partial<Named>): void {
  const names = Object.keys(dys);
  if (names.length === 0) {
    throw new Error('forwardPass: gradients are of at least one output; got none; give the gradient of a loss by it');
  }
  for (const name of names) {
    const y = outputs[name];
    if (y === undefined) {
      const known = Object.keys(outputs).join(', ');
      throw new Error(`forwardPass: dys are named as the outputs, ${known}; got "${name}"; take one of these`);
    }
    const dy = dys[name] as Tensor;
    if (dy.dtype !== 'float32' || !util.arraysEqual(dy.shape, y.shape)) {
      throw new Error(
        `forwardPass: the dy of "${name}" is like it, float32 [${y.shape}]; got ${dy.dtype} [${dy.shape}]; reshape or cast it`,
      );
    }
  }
}

/** Runs f now and takes its gradients later, so that its outputs can be awaited, read and judged in between: what a loss needs whose terms
 * are chosen on the host. The outputs are kept until `gradients` or `dispose`, one of which must be called.
 * @throws inside another forward pass that is recorded, or where f returns something else than named float32 tensors */
export function forwardPass<T extends Named, O extends Named>(f: (tensors: T) => O, tensors: T): ForwardPass<T, O> {
  const engine = installedEngine('forwardPass');
  if (engine.state.gradientDepth > 0 && engine.state.kernelDepth === 0) {
    throw new Error(
      'forwardPass: starts where nothing is recorded; got called inside a gradient; use gradients() there',
    );
  }
  const names = Object.keys(tensors);
  const xs = names.map((name) => tensors[name]);
  const tape: TapeNode[] = [];
  const outputs = recorded(engine, tape, xs, () => f(tensors));
  const own = Object.values(outputs).filter((y) => !y.kept && !xs.includes(y));
  for (const y of own) keep(y);
  let open = true;
  const dispose = (): void => {
    if (!open) return;
    open = false;
    freeSaved(tape);
    for (const y of own) y.dispose();
  };
  return {
    outputs,
    dispose,
    gradients(dys) {
      if (!open) throw new Error('forwardPass: gradients are taken once; the pass is used up; run it again');
      checkDys(outputs, dys as Partial<Named>);
      try {
        return engine.tidy('gradients', () => {
          const wanted = Object.keys(dys);
          const found = backpropagate(engine, {
            tape,
            xs,
            ys: wanted.map((name) => outputs[name]),
            dys: wanted.map((name) => dys[name] as Tensor),
            consume: true,
          });
          return Object.fromEntries(names.map((name, i) => [name, found[i] ?? zeros(xs[i].shape)])) as GradientsOf<T>;
        });
      } finally {
        dispose();
      }
    },
  };
}
