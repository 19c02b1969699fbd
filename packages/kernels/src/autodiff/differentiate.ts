import { ones, type Tensor } from '@tensorflow/tfjs-core';
import { backpropagate, freeSaved } from './backpropagate.ts';
import { type AutodiffEngine, autodiffEngine, type TapeNode } from './engine.ts';
import { watch } from './recording.ts';

/** Runs `body` on a tape of its own where none is recording (the usual case, and inside a gradient or a kernel's
 * own code), else on the one that is: gradients of gradients need a single tape. Leaves the engine as it found it. */
function withTape<T>(engine: AutodiffEngine, body: (tape: TapeNode[], own: boolean) => T): T {
  const { state } = engine;
  const { activeTape, gradientDepth, kernelDepth } = state;
  const own = gradientDepth === 0 || kernelDepth > 0;
  const tape = own ? [] : (activeTape as TapeNode[]);
  if (own) {
    state.activeTape = tape;
    state.gradientDepth = 0;
    state.kernelDepth = 0;
  }
  try {
    return body(tape, own);
  } finally {
    // Disposing twice is harmless; after an error this is what keeps the saved tensors from leaking.
    if (own) freeSaved(tape);
    state.activeTape = activeTape;
    state.gradientDepth = gradientDepth;
    state.kernelDepth = kernelDepth;
  }
}

function record<T>(engine: AutodiffEngine, run: () => T): T {
  engine.state.gradientDepth++;
  try {
    return engine.tidy('forward', run);
  } finally {
    engine.state.gradientDepth--;
  }
}

/** Frees those tensors that the current scope made; a value may also be an input or a tensor from outside. */
function freeOwned(engine: AutodiffEngine, tensors: readonly Tensor[]): void {
  const scope = engine.state.activeScope?.id;
  for (const tensor of tensors) if (!tensor.kept && tensor.scopeId === scope) tensor.dispose();
}

export interface Differentiation {
  values: Tensor[];
  /** One per x; null where no value hangs on it. */
  gradients: (Tensor | null)[];
}

/** Runs `run` on the tape and takes the gradients of sum_i(values[i] * dys[i]) by each x.
 * `dys` gives one gradient per value, null for a value that does not matter; by default ones. */
export function differentiate(
  run: () => Tensor[],
  xs: readonly Tensor[],
  dys?: readonly (Tensor | null)[],
  keepValues = true,
): Differentiation {
  const engine = autodiffEngine();
  return withTape(engine, (tape, own) => {
    watch(tape, xs);
    return engine.tidy('gradients', () => {
      const ys = record(engine, run);
      const seeds = dys ?? ys.map((y) => ones(y.shape));
      if (!keepValues) freeOwned(engine, ys);
      const gradients = backpropagate(engine, { tape, xs, ys, dys: seeds, consume: own });
      return { values: keepValues ? ys : [], gradients };
    });
  });
}
