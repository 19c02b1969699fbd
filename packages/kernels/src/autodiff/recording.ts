import { type DataType, getGradient, type NamedAttrMap, type Tensor } from '@tensorflow/tfjs-core';
import { definitionOf, type GradientContext, inputGradient, type KernelGradient } from '../gradients/definition.ts';
import {
  type AutodiffEngine,
  type NamedTensors,
  type NullableGradient,
  type StockGradient,
  type TapeNode,
  takesNulls,
} from './engine.ts';

/** Which tensors hang on the tensors that are differentiated by, kept per tape. */
interface Reach {
  /** The tensors themselves that are differentiated by. */
  watched: Set<number>;
  /** Reached by any path, also through steps (floor, comparisons, indices). */
  connected: Set<number>;
  /** Reached by a path that can carry a gradient other than zero. */
  differentiable: Set<number>;
}

const reaches = new WeakMap<TapeNode[], Reach>();

function reachOf(tape: TapeNode[]): Reach {
  let reach = reaches.get(tape);
  if (reach === undefined) {
    reach = { watched: new Set(), connected: new Set(), differentiable: new Set() };
    reaches.set(tape, reach);
  }
  return reach;
}

/** Declares the tensors by which the operations on this tape will be differentiated. */
export function watch(tape: TapeNode[], xs: readonly Tensor[]): void {
  const { watched, connected, differentiable } = reachOf(tape);
  for (const x of xs) {
    watched.add(x.id);
    connected.add(x.id);
    differentiable.add(x.id);
  }
}

/** How a tensor hangs on what the tape is differentiated by: it is such a tensor itself, was made from one, or neither. */
export function relationTo(tape: TapeNode[], x: Tensor): 'watched' | 'made' | undefined {
  const { watched, differentiable } = reachOf(tape);
  if (watched.has(x.id)) return 'watched';
  return differentiable.has(x.id) ? 'made' : undefined;
}

/** What has to be done for one operation that one of our definitions covers. */
interface Plan {
  /** Inputs whose gradients may be asked for: they hang on an x, and the kernel is not flat in them. */
  differentiated: string[];
  /** The tensors which those gradients read. */
  saved: string[];
}

function planFor(definition: KernelGradient, inputs: NamedTensors, reach: Reach): Plan {
  const present = Object.keys(inputs).filter((name) => inputs[name] != null);
  const differentiated: string[] = [];
  const saved = new Set<string>();
  for (const name of present) {
    const gradient = inputGradient(definition, name);
    if (gradient === 'zero' || !reach.differentiable.has(inputs[name].id)) continue;
    differentiated.push(name);
    const reads = gradient?.reads ?? [];
    for (const read of typeof reads === 'function' ? reads(name, present) : reads) {
      if (read === 'output' || read === 'output1' || present.includes(read)) saved.add(read);
    }
  }
  return { differentiated, saved: [...saved] };
}

const signature = ({ shape, dtype }: Tensor): { shape: number[]; dtype: DataType } => ({ shape, dtype });

/** Signatures outlive the tensors, so that a gradient which needs only shapes keeps no values. */
function signatures(inputs: NamedTensors): GradientContext['inputs'] {
  const present = Object.entries(inputs).filter(([, x]) => x != null);
  return Object.fromEntries(present.map(([name, x]) => [name, signature(x)]));
}

/** A tape node's gradient from one of our definitions. */
function definedGradient(
  definition: KernelGradient,
  node: TapeNode,
  plan: Plan,
  attrs: NamedAttrMap,
): TapeNode['gradient'] {
  const inputs = signatures(node.inputs);
  const outputs = node.outputs.map(signature);
  return (dys, wanted) => {
    const saved = Object.fromEntries(plan.saved.map((name, i) => [name, node.saved[i]]));
    const context: GradientContext = { dys, dy: dys[0] as Tensor, saved, inputs, outputs, attrs };
    const gradients: Record<string, Tensor | null> = {};
    for (const name of wanted) {
      const gradient = inputGradient(definition, name);
      const { dtype } = inputs[name];
      if (gradient === undefined) {
        const known = Object.keys(definition.inputs).join(', ');
        throw new Error(`Cannot backprop through input ${name} of ${definition.kernel}; known: ${known}`);
      }
      if (dtype === 'complex64') {
        throw new Error(
          `kernels: ${definition.kernel}: gradients are of float32 tensors; got complex64 input ${name}; split it`,
        );
      }
      // Indices, masks and labels may hang on x; they carry no gradient.
      const flat = gradient === 'zero' || dtype !== 'float32' || !plan.differentiated.includes(name);
      gradients[name] = flat ? null : gradient.gradient(context, name);
    }
    return gradients;
  };
}

function zerosFor(engine: AutodiffEngine, { shape, dtype, size }: Tensor): Tensor {
  if (dtype === 'bool') return engine.makeTensor(new Uint8Array(size), shape, dtype);
  return engine.makeTensor(dtype === 'int32' ? new Int32Array(size) : new Float32Array(size), shape, dtype);
}

/** A tape node's gradient from a custom gradient, or from one that another package registered. */
function givenGradient(
  engine: AutodiffEngine,
  gradient: StockGradient | NullableGradient,
  node: TapeNode,
  attrs: NamedAttrMap,
): TapeNode['gradient'] {
  if (takesNulls in gradient) return (dys, wanted) => gradient(dys, node.saved, wanted);
  return (dys, wanted) => {
    const filled = dys.map((dy, i) => dy ?? zerosFor(engine, node.outputs[i]));
    const closures = gradient(filled.length > 1 ? filled : filled[0], node.saved, attrs);
    const gradients: Record<string, Tensor | null> = {};
    for (const name of wanted) {
      if (!(name in closures)) {
        const known = Object.keys(closures).join(', ');
        throw new Error(`Cannot backprop through input ${name} of ${node.kernelName}; available gradients: ${known}`);
      }
      gradients[name] = node.inputs[name].dtype === 'float32' ? closures[name]() : null;
    }
    return gradients;
  };
}

/** Replaces the engine's choice of what to save: only what the inputs that hang on an x need. */
export function tensorsToSave(engine: AutodiffEngine, stock: AutodiffEngine['getTensorsForGradient']): typeof stock {
  return (kernelName, inputs, outputs) => {
    const definition = definitionOf(getGradient(kernelName));
    const reach = reachOf(engine.state.activeTape ?? []);
    if (definition === undefined) {
      const watched = Object.values(inputs).some((x) => x != null && reach.connected.has(x.id));
      return watched ? stock.call(engine, kernelName, inputs, outputs) : [];
    }
    return planFor(definition, inputs, reach).saved.map((name) =>
      name === 'output' ? outputs[0] : name === 'output1' ? outputs[1] : inputs[name],
    );
  };
}

/** Replaces the engine's recording of an operation: what hangs on no x is not recorded, and keeps nothing alive. */
export function recordNode(engine: AutodiffEngine): AutodiffEngine['addTapeNode'] {
  return (kernelName, inputs, outputs, customGradient, saved, attrs) => {
    const { state } = engine;
    const tape = state.activeTape as TapeNode[];
    const reach = reachOf(tape);
    const present = Object.values(inputs ?? {}).filter((x) => x != null);
    if (!present.some((x) => reach.connected.has(x.id))) {
      for (const tensor of saved) tensor.dispose();
      return;
    }
    const node: TapeNode = { id: state.nextTapeNodeId++, kernelName, inputs, outputs, saved };
    const config = customGradient === null ? getGradient(kernelName) : undefined;
    const definition = definitionOf(config);
    let carries = present.some((x) => reach.differentiable.has(x.id));
    if (definition !== undefined) {
      const plan = planFor(definition, inputs, reach);
      carries = plan.differentiated.length > 0;
      node.gradient = definedGradient(definition, node, plan, attrs);
    } else {
      const gradient = customGradient ?? (config?.gradFunc as StockGradient | undefined);
      if (gradient !== undefined) node.gradient = givenGradient(engine, gradient, node, attrs);
    }
    for (const output of outputs) {
      reach.connected.add(output.id);
      if (carries && (output.dtype === 'float32' || output.dtype === 'complex64')) reach.differentiable.add(output.id);
    }
    tape.push(node);
  };
}
