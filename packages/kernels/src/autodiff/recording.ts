import { type DataType, getGradient, type NamedAttrMap, type Tensor } from '@tensorflow/tfjs-core';
import { definitionOf, type GradientContext, inputGradient, type KernelGradient } from '../gradients/definition.ts';
import type { AutodiffEngine, NamedTensors, StockGradient, TapeNode } from './engine.ts';

/** Which tensors hang on the tensors that are differentiated by, kept per tape. */
interface Reach {
  /** Reached by any path, also through steps (floor, comparisons, indices). */
  connected: Set<number>;
  /** Reached by a path that can carry a gradient other than zero. */
  differentiable: Set<number>;
}

const reaches = new WeakMap<TapeNode[], Reach>();

function reachOf(tape: TapeNode[]): Reach {
  let reach = reaches.get(tape);
  if (reach === undefined) {
    reach = { connected: new Set(), differentiable: new Set() };
    reaches.set(tape, reach);
  }
  return reach;
}

/** Declares the tensors by which the operations on this tape will be differentiated. */
export function watch(tape: TapeNode[], xs: readonly Tensor[]): void {
  const { connected, differentiable } = reachOf(tape);
  for (const x of xs) {
    connected.add(x.id);
    differentiable.add(x.id);
  }
}

/** Whether a gradient other than zero may be asked for `x` on the tape that is recording now. */
export function isDifferentiated(engine: AutodiffEngine, x: Tensor): boolean {
  const { activeTape, gradientDepth, kernelDepth } = engine.state;
  if (activeTape === null || activeTape === undefined || gradientDepth === 0 || kernelDepth > 0) return false;
  return reachOf(activeTape).differentiable.has(x.id);
}

/** An input's own gradient may be asked for where it hangs on an x and the kernel is not flat in it. */
function differentiatedInputs(definition: KernelGradient, inputs: NamedTensors, reach: Reach): string[] {
  return Object.keys(inputs).filter((name) => {
    const gradient = inputGradient(definition, name);
    return gradient !== 'zero' && inputs[name] != null && reach.differentiable.has(inputs[name].id);
  });
}

/** The names of the tensors which the gradients of these inputs read. */
function namesToSave(definition: KernelGradient, inputs: NamedTensors, differentiated: string[]): string[] {
  const all = Object.keys(inputs).filter((name) => inputs[name] != null);
  const names = new Set<string>();
  for (const name of differentiated) {
    const gradient = inputGradient(definition, name);
    if (gradient === undefined || gradient === 'zero') continue;
    const { reads = [] } = gradient;
    for (const read of typeof reads === 'function' ? reads(name, all) : reads) {
      if (read === 'output' || read === 'output1' || inputs[read] != null) names.add(read);
    }
  }
  return [...names];
}

const signature = ({ shape, dtype }: Tensor): { shape: number[]; dtype: DataType } => ({ shape, dtype });

/** A tape node's gradient from one of our definitions. */
function definedGradient(
  definition: KernelGradient,
  { inputs, outputs, saved }: TapeNode,
  savedNames: string[],
  attrs: NamedAttrMap,
): TapeNode['gradient'] {
  const inputSignatures: GradientContext['inputs'] = {};
  for (const name of Object.keys(inputs)) if (inputs[name] != null) inputSignatures[name] = signature(inputs[name]);
  const outputSignatures = outputs.map(signature);
  return (dys, wanted) => {
    const values: NamedTensors = {};
    savedNames.forEach((name, i) => {
      values[name] = saved[i];
    });
    const context = {
      dys,
      dy: dys[0] as Tensor,
      saved: values,
      inputs: inputSignatures,
      outputs: outputSignatures,
      attrs,
    };
    const gradients: Record<string, Tensor | null> = {};
    for (const name of wanted) {
      const gradient = inputGradient(definition, name);
      if (gradient === undefined) {
        throw new Error(
          `Cannot backprop through input ${name} of ${definition.kernel}; known: ${Object.keys(definition.inputs).join(', ')}`,
        );
      }
      const { dtype } = inputSignatures[name];
      if (dtype === 'complex64')
        throw new Error(`kernels: ${definition.kernel}: gradients are of float32 tensors; got complex64 input ${name}`);
      // Indices, masks and labels may hang on x; they carry no gradient.
      gradients[name] = gradient === 'zero' || dtype !== 'float32' ? null : gradient.gradient(context, name);
    }
    return gradients;
  };
}

function zerosFor(engine: AutodiffEngine, { shape, dtype, size }: Tensor): Tensor {
  if (dtype === 'bool') return engine.makeTensor(new Uint8Array(size), shape, dtype);
  return engine.makeTensor(dtype === 'int32' ? new Int32Array(size) : new Float32Array(size), shape, dtype);
}

/** A tape node's gradient from a custom gradient, or from one that another package registered. */
function stockGradient(
  engine: AutodiffEngine,
  gradient: StockGradient,
  { kernelName, outputs, saved }: TapeNode,
  attrs: NamedAttrMap,
): TapeNode['gradient'] {
  return (dys, wanted) => {
    const filled = dys.map((dy, i) => dy ?? zerosFor(engine, outputs[i]));
    const closures = gradient(filled.length > 1 ? filled : filled[0], saved, attrs);
    const gradients: Record<string, Tensor | null> = {};
    for (const name of wanted) {
      if (!(name in closures)) {
        throw new Error(
          `Cannot backprop through input ${name} of ${kernelName}; available gradients: ${Object.keys(closures).join(', ')}`,
        );
      }
      gradients[name] = closures[name]();
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
    const names = namesToSave(definition, inputs, differentiatedInputs(definition, inputs, reach));
    return names.map((name) => (name === 'output' ? outputs[0] : name === 'output1' ? outputs[1] : inputs[name]));
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
      const differentiated = differentiatedInputs(definition, inputs, reach);
      carries = differentiated.length > 0;
      node.gradient = definedGradient(definition, node, namesToSave(definition, inputs, differentiated), attrs);
    } else {
      const gradient = customGradient ?? (config?.gradFunc as StockGradient | undefined);
      if (gradient !== undefined) node.gradient = stockGradient(engine, gradient, node, attrs);
    }
    for (const output of outputs) {
      reach.connected.add(output.id);
      if (carries && (output.dtype === 'float32' || output.dtype === 'complex64')) reach.differentiable.add(output.id);
    }
    tape.push(node);
  };
}
