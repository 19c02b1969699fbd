import { type DataType, type GradConfig, getBackend, getKernel, type Tensor } from '@tensorflow/tfjs-core';

/** What is known of a kernel's input or output without keeping its values. */
export interface TensorSignature {
  shape: number[];
  dtype: DataType;
}

/** All that the gradient of one input may look at. */
export interface GradientContext {
  /** Gradient of the first (mostly the only) output. */
  dy: Tensor;
  /** Gradients of all outputs; null where an output does not matter to the result. */
  dys: (Tensor | null)[];
  /** Values of the tensors named in `reads`, and of those alone. */
  saved: Record<string, Tensor>;
  inputs: Record<string, TensorSignature>;
  outputs: TensorSignature[];
  attrs: Record<string, unknown>;
}

/** How one input's gradient is computed. */
export interface InputGradient {
  /** Inputs whose values it needs, 'output' and 'output1' for the first and second output; kept until the backward pass. */
  reads?: readonly string[] | ((input: string, inputs: readonly string[]) => string[]);
  /** @shape of the result: that of the input */
  gradient: (context: GradientContext, input: string) => Tensor;
}

/** The derivative of one kernel, input by input. */
export interface KernelGradient {
  kernel: string;
  /** By input name; `'*'` stands for each input of a kernel which takes a list; 'zero' is flat everywhere. */
  inputs: Record<string, InputGradient | 'zero'>;
}

// Symbol.for: two copies of this package in one program must know each other's gradients.
const definitionKey = Symbol.for('@rass/kernels gradient definition');

type DefinedConfig = GradConfig & { [definitionKey]?: KernelGradient };

/** Turns a definition into what TensorFlow.js registers; the tape finds the definition in it again. */
export function gradientConfig(definition: KernelGradient): GradConfig {
  const config: DefinedConfig = {
    kernelName: definition.kernel,
    gradFunc: () => {
      throw new Error(
        `kernels: the gradient of ${definition.kernel} runs on our tape only; it was called by another; call installGradients()`,
      );
    },
    [definitionKey]: definition,
  };
  return config;
}

/** The definition behind a registered gradient, or undefined where somebody else registered it. */
export function definitionOf(config: GradConfig | undefined): KernelGradient | undefined {
  return (config as DefinedConfig | undefined)?.[definitionKey];
}

/** The gradient of the input of that name, or undefined where the definition has none. */
export function inputGradient(definition: KernelGradient, input: string): InputGradient | 'zero' | undefined {
  return definition.inputs[input] ?? definition.inputs['*'];
}

/** Whether the current backend has a kernel of this name. */
export function hasKernel(kernel: string): boolean {
  return getKernel(kernel, getBackend()) !== undefined;
}
