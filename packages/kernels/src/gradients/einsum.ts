import { broadcastTo, Einsum, einsum, reshape, type Tensor, transpose } from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

/** The labels of each operand and of the result. TensorFlow.js allows one or two operands and no repeated label. */
function labels(equation: string): { operands: string[]; result: string } {
  const [left, result] = equation.replace(/\s/g, '').split('->');
  return { operands: left.split(','), result };
}

/** dy times the other operand, summed to the labels of this one. A label that only this operand has
 * was summed away alone: every element along it has the same gradient. */
function gradientOfOperand({ dy, saved, inputs, attrs }: GradientContext, input: string): Tensor {
  const { operands, result } = labels(attrs.equation as string);
  const own = operands[Number(input)];
  const others = operands.map((_, i) => String(i)).filter((name) => name !== input);
  const known = [result, ...others.map((name) => operands[Number(name)])];
  const reached = [...own].filter((label) => known.some((term) => term.includes(label))).join('');
  const part =
    others.length === 0
      ? transpose(
          dy,
          [...reached].map((label) => result.indexOf(label)),
        )
      : einsum(`${known.join(',')}->${reached}`, dy, ...others.map((name) => saved[name]));
  const { shape } = inputs[input];
  const kept = [...own].map((label, axis) => (reached.includes(label) ? shape[axis] : 1));
  return broadcastTo(reshape(part, kept), shape);
}

/** Einstein sums of one or two tensors. */
export const einsumGradients: KernelGradient[] = [
  {
    kernel: Einsum,
    inputs: { '*': { reads: (input, inputs) => inputs.filter((name) => name !== input), gradient: gradientOfOperand } },
  },
];
