import { Tensor, tidy } from '@tensorflow/tfjs-core';
import {
  type Autodiff,
  type AutodiffEngine,
  installedEngine,
  installedKey,
  type NullableGradient,
  type TapeNode,
  takesNulls,
} from './engine.ts';

/** What a block may return. */
export type BlockOutputs = Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>>;

function tensorsOf(outputs: BlockOutputs): Tensor[] {
  const tensors = outputs instanceof Tensor ? [outputs] : Object.values(outputs);
  const other = tensors.findIndex((tensor) => !(tensor instanceof Tensor));
  if (tensors.length === 0 || other >= 0) {
    const got = tensors.length === 0 ? 'nothing' : `${typeof tensors[other]} at ${Object.keys(outputs)[other]}`;
    throw new Error(
      `checkpoint: a block returns a tensor, an array or a plain object of tensors; got ${got}; return tensors only`,
    );
  }
  return tensors;
}

/** The same tensors in the block's own container. */
function inShapeOf<O extends BlockOutputs>(outputs: O, tensors: Tensor[]): O {
  if (outputs instanceof Tensor) return tensors[0] as unknown as O;
  if (Array.isArray(outputs)) return tensors as unknown as O;
  return Object.fromEntries(Object.keys(outputs).map((key, i) => [key, tensors[i]])) as unknown as O;
}

/** Each output as a tensor of the block's own: an input, a weight or the same tensor twice would be taken for another on the tape. */
function ownTensors(engine: AutodiffEngine, tensors: Tensor[]): Tensor[] {
  const scope = engine.state.activeScope?.id;
  return tensors.map((tensor, i) => {
    const isOwn = !tensor.kept && tensor.scopeId === scope && tensors.indexOf(tensor) === i;
    return isOwn ? tensor : tensor.clone();
  });
}

/** Collects what the block reads beside its inputs. */
class Closure {
  readonly weights: Tensor[] = [];
  private readonly tape: TapeNode[];
  private readonly inputs: readonly Tensor[];
  private readonly relationTo: Autodiff['relationTo'];

  constructor({ relationTo }: Autodiff, tape: TapeNode[], inputs: readonly Tensor[]) {
    this.relationTo = relationTo;
    this.tape = tape;
    this.inputs = inputs;
  }

  readonly observe = (tensors: Tensor[]): void => {
    for (const tensor of tensors) {
      if (this.inputs.includes(tensor) || this.weights.includes(tensor)) continue;
      const relation = this.relationTo(this.tape, tensor);
      if (relation === 'watched') this.weights.push(tensor);
      if (relation !== 'made') continue;
      // It would be gone by the time the block runs again.
      throw new Error(
        `checkpoint: a block takes tensors of the forward pass as inputs; got one of shape [${tensor.shape}] from outside; add it to the inputs`,
      );
    }
  };
}

type Block<I extends readonly Tensor[], O extends BlockOutputs> = (...inputs: I) => O;

/** The gradients of a block by running it again, on a tape of its own. */
function recomputed<I extends readonly Tensor[]>(
  { differentiate }: Autodiff,
  block: Block<I, BlockOutputs>,
  closure: Closure,
): NullableGradient {
  const gradient = (dys: (Tensor | null)[], saved: Tensor[], wanted: string[]): Record<string, Tensor | null> => {
    const xs = wanted.map((name) =>
      name.startsWith('weight') ? closure.weights[Number(name.slice(6))] : saved[Number(name)],
    );
    const floats = wanted.flatMap((_, i) => (xs[i].dtype === 'float32' ? [i] : []));
    const freed = xs.find((x) => x.isDisposed);
    if (freed !== undefined) {
      throw new Error(
        `checkpoint: weights live until the backward pass; one of shape [${freed.shape}] was disposed of; keep it until then`,
      );
    }
    const run = (): Tensor[] => tensorsOf(block(...(saved as unknown as I)));
    const { gradients } = differentiate(
      run,
      floats.map((i) => xs[i]),
      dys,
      false,
    );
    const found: Record<string, Tensor | null> = {};
    for (const name of wanted) found[name] = null;
    floats.forEach((i, position) => {
      found[wanted[i]] = gradients[position];
    });
    return found;
  };
  return Object.assign(gradient, { [takesNulls]: true as const });
}

/** Runs a block of the network without keeping its activations: only its inputs are kept, and the backward pass runs it
 * a second time. Tensors that the block made are freed; weights that it reads from outside are found by themselves.
 * The block must give the same both times (seed its randomness) and take what the forward pass made as inputs.
 * Where no gradient is recorded it just runs. Blocks may nest, and second derivatives are right (at full memory).
 * @throws when the block reads a tensor of the forward pass that is not an input */
export function checkpoint<I extends readonly Tensor[], O extends BlockOutputs>(
  block: Block<I, O>,
  inputs: readonly [...I],
): O {
  const engine = installedEngine('checkpoint');
  const { gradientDepth, kernelDepth, activeTape } = engine.state;
  const args = [...inputs] as unknown as I;
  if (gradientDepth === 0 || kernelDepth > 0) return tidy(() => block(...args) as unknown as Tensor) as unknown as O;
  const autodiff = engine[installedKey];
  const closure = new Closure(autodiff, activeTape as TapeNode[], args);
  let outputs: O | undefined;
  // The engine copies this map's names onto the tape after the run: weights may still be added to it until then.
  const named: Record<string, Tensor> = Object.fromEntries(args.map((input, i) => [String(i), input]));
  const tensors = engine.runKernelFunc({
    inputs: named,
    backwardsFunc: recomputed(autodiff, block, closure),
    forwardFunc: (_, save) => {
      outputs = autodiff.observing(closure.observe, () => block(...args));
      const own = ownTensors(engine, tensorsOf(outputs));
      closure.weights.forEach((weight, i) => {
        named[`weight${i}`] = weight;
      });
      save([...args]);
      return own;
    },
  });
  return inShapeOf(outputs as O, tensors as Tensor[]);
}
