import { getKernel, type KernelConfig, registerKernel, type TensorInfo, unregisterKernel } from '@tensorflow/tfjs-core';
import { registerConvolutions } from './convolutions.ts';
import { NATIVE_OPERATIONS, type NativeOperation } from './definitions.ts';

/** TensorFlow.js's name of the native backend. */
const BACKEND = 'tensorflow';

/** What of tfjs-node's addon is needed to find out which operations it holds. */
export interface NativeOperations {
  TF_FLOAT: number;
  TF_ATTR_INT: number;
  TF_ATTR_FLOAT: number;
  TF_ATTR_BOOL: number;
  createTensor: (shape: number[], dtype: number, values: Float32Array) => number;
  deleteTensor: (id: number) => void;
  executeOp: (name: string, attributes: unknown[], inputs: number[], outputs: number) => { id: number }[];
}

interface NativeBackend {
  binding: NativeOperations;
  executeMultipleOutputs: (name: string, attributes: unknown[], inputs: TensorInfo[], outputs: number) => TensorInfo[];
}

/** Whether the addon was built with our operations; another build, such as tfjs-node's own, has TensorFlow's alone. */
function hasOperations(binding: NativeOperations): boolean {
  const input = binding.createTensor([1], binding.TF_FLOAT, new Float32Array(1));
  try {
    const [output] = binding.executeOp('RassSilu', [], [input], 1);
    binding.deleteTensor(output!.id);
    return true;
  } catch {
    return false;
  } finally {
    binding.deleteTensor(input);
  }
}

function kernelOf({ name, inputs, outputs, attributes }: NativeOperation): KernelConfig {
  const kernelFunc: KernelConfig['kernelFunc'] = (call) => {
    const backend = call.backend as NativeBackend;
    const { TF_ATTR_INT, TF_ATTR_FLOAT, TF_ATTR_BOOL } = backend.binding;
    const types = { int: TF_ATTR_INT, float: TF_ATTR_FLOAT, bool: TF_ATTR_BOOL };
    const options = Object.entries(attributes).map(([key, type]) => ({
      name: key,
      type: types[type],
      value: call.attrs?.[key],
    }));
    const given = inputs.map((input) => call.inputs[input] as TensorInfo);
    const results = backend.executeMultipleOutputs(name, options, given, outputs);
    return results.length === 1 ? results[0]! : results;
  };
  return { kernelName: name, backendName: BACKEND, kernelFunc };
}

/** Makes the addon's own operations known to TensorFlow.js as kernels, which the ops of this package then prefer to what
 * they compose; they run on the CPU alone. Returns the operations' names, none where the addon was built without.
 * Idempotent. */
export function registerNativeOperations(binding: NativeOperations, device: 'cpu' | 'gpu'): string[] {
  if (device === 'gpu' || !hasOperations(binding)) return [];
  for (const operation of NATIVE_OPERATIONS) {
    if (getKernel(operation.name, BACKEND) === undefined) registerKernel(kernelOf(operation));
  }
  registerConvolutions(BACKEND);
  return NATIVE_OPERATIONS.map(({ name }) => name);
}

/** Takes the addon's own operations out again, so that the composed ones run: to compare the two. */
export function unregisterNativeOperations(): void {
  for (const { name } of NATIVE_OPERATIONS) {
    if (getKernel(name, BACKEND) !== undefined) unregisterKernel(name, BACKEND);
  }
}
