import { add, type DataType, type Tensor, util, zeros } from '@tensorflow/tfjs-core';
import type { AutodiffEngine, NamedTensors, TapeNode } from './engine.ts';

/** The nodes on a path from one of `xs` to one of `ys`, each with those of its inputs that hang on an x. */
function path(tape: TapeNode[], xs: readonly Tensor[], ys: readonly Tensor[]): { node: TapeNode; wanted: string[] }[] {
  const fromX = new Set(xs.map((x) => x.id));
  const reached: { node: TapeNode; wanted: string[] }[] = [];
  for (const node of tape) {
    const wanted = Object.keys(node.inputs).filter(
      (name) => node.inputs[name] != null && fromX.has(node.inputs[name].id),
    );
    if (wanted.length === 0) continue;
    reached.push({ node, wanted });
    for (const output of node.outputs) fromX.add(output.id);
  }
  const toY = new Set(ys.map((y) => y.id));
  const onPath = reached.reverse().filter(({ node, wanted }) => {
    if (!node.outputs.some((output) => toY.has(output.id))) return false;
    for (const name of wanted) toY.add(node.inputs[name].id);
    return true;
  });
  return onPath.reverse();
}

/** Gradients by tensor id. A gradient may be shared by several tensors, or belong to the caller; only those made here are freed. */
class Accumulator {
  private readonly gradients = new Map<number, Tensor>();
  private readonly uses = new Map<Tensor, number>();
  private readonly scope: number;

  constructor(scope: number) {
    this.scope = scope;
  }

  get(id: number): Tensor | null {
    return this.gradients.get(id) ?? null;
  }

  isShared(gradient: Tensor): boolean {
    return (this.uses.get(gradient) ?? 0) > 1;
  }

  /** True of tensors made by this backward pass and kept by nobody else. */
  owns(gradient: Tensor): boolean {
    return !gradient.kept && gradient.scopeId === this.scope;
  }

  retain(gradient: Tensor): void {
    this.uses.set(gradient, (this.uses.get(gradient) ?? 0) + 1);
  }

  /** Ends one use; the last one frees the gradient. */
  drop(gradient: Tensor): void {
    const uses = (this.uses.get(gradient) ?? 1) - 1;
    if (uses > 0) {
      this.uses.set(gradient, uses);
      return;
    }
    this.uses.delete(gradient);
    if (this.owns(gradient)) gradient.dispose();
  }

  accumulate(id: number, gradient: Tensor): void {
    const current = this.gradients.get(id);
    const total = current === undefined ? gradient : add(current, gradient);
    this.retain(total);
    this.release(id);
    this.gradients.set(id, total);
  }

  /** Forgets the gradient of this tensor. */
  release(id: number): void {
    const gradient = this.gradients.get(id);
    if (gradient === undefined) return;
    this.gradients.delete(id);
    this.drop(gradient);
  }
}

const isDifferentiable = (dtype: DataType): boolean => dtype === 'float32' || dtype === 'complex64';

function checkGradient(node: TapeNode, name: string, gradient: Tensor): void {
  const where = `Error in gradient for op ${node.kernelName}. The gradient of input '${name}'`;
  if (gradient.dtype !== 'float32') throw new Error(`${where} must have 'float32' dtype, but has '${gradient.dtype}'`);
  const { shape } = node.inputs[name];
  if (!util.arraysEqual(gradient.shape, shape)) {
    throw new Error(`${where} has shape '${gradient.shape}', which does not match the shape of the input '${shape}'`);
  }
}

/** The gradients of one node's wanted inputs; what else was made on the way is freed at once. */
function nodeGradients(engine: AutodiffEngine, node: TapeNode, wanted: string[], dys: (Tensor | null)[]): NamedTensors {
  return engine.tidy('gradient', () => {
    if (node.gradient === undefined)
      throw new Error(`Cannot compute gradient: gradient function not found for ${node.kernelName}.`);
    const gradients = node.gradient(dys, wanted);
    const found: NamedTensors = {};
    for (const name of wanted) {
      const gradient = gradients[name];
      if (gradient === null) continue;
      checkGradient(node, name, gradient);
      // A custom gradient may hand back a tensor that it saved, which is about to be freed.
      found[name] = node.saved.includes(gradient) ? gradient.clone() : gradient;
    }
    return found;
  });
}

export interface Backpropagation {
  tape: TapeNode[];
  xs: readonly Tensor[];
  ys: readonly Tensor[];
  dys: readonly (Tensor | null)[];
  /** Whether nobody needs the tape afterwards, so that saved tensors can be freed as the pass goes. */
  consume: boolean;
}

/** Frees what the nodes keep for their gradients. */
export function freeSaved(nodes: Iterable<TapeNode>): void {
  for (const node of nodes) for (const tensor of node.saved) tensor.dispose();
}

/** Walks the tape backwards and frees each saved tensor and each gradient as soon as it has been used.
 * To be called inside a tidy. Result: one gradient per x, null where no y hangs on it. */
export function backpropagate(
  engine: AutodiffEngine,
  { tape, xs, ys, dys, consume }: Backpropagation,
): (Tensor | null)[] {
  const nodes = path(tape, xs, ys);
  if (consume) {
    const needed = new Set(nodes.map(({ node }) => node));
    freeSaved(tape.filter((node) => !needed.has(node)));
  }
  const accumulator = new Accumulator(engine.state.activeScope?.id ?? -1);
  ys.forEach((y, i) => {
    const dy = dys[i];
    if (dy !== null) accumulator.accumulate(y.id, dy);
  });
  const connected = new Set(ys.filter((_, i) => dys[i] !== null).map((y) => y.id));
  const kept = new Set(xs.map((x) => x.id));
  for (const { node, wanted } of nodes.reverse()) {
    for (const name of wanted) connected.add(node.inputs[name].id);
    // Rounding to integers or comparing ends a gradient.
    const outputGradients = node.outputs.map(({ id, dtype }) => (isDifferentiable(dtype) ? accumulator.get(id) : null));
    if (outputGradients.some((dy) => dy !== null)) {
      const found = nodeGradients(engine, node, wanted, outputGradients);
      // One tensor may be the gradient of several inputs: all hold it before the first can free it.
      for (const gradient of Object.values(found)) accumulator.retain(gradient);
      for (const name of Object.keys(found)) accumulator.accumulate(node.inputs[name].id, found[name]);
      for (const gradient of Object.values(found)) accumulator.drop(gradient);
    }
    for (const output of node.outputs) if (!kept.has(output.id)) accumulator.release(output.id);
    if (consume) freeSaved([node]);
  }
  return xs.map((x) => {
    const gradient = accumulator.get(x.id);
    if (gradient === null) return connected.has(x.id) ? zeros(x.shape) : null;
    // The caller may dispose of each result on its own.
    return accumulator.owns(gradient) && !accumulator.isShared(gradient) ? gradient : gradient.clone();
  });
}
