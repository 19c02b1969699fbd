import {
  _FusedMatMul,
  add,
  elu,
  leakyRelu,
  matMul,
  prelu,
  relu,
  relu6,
  sigmoid,
  type Tensor,
  type Tensor3D,
} from '@tensorflow/tfjs-core';
import type { KernelCall, RepairedKernel } from './definition.ts';

interface FusedAttrs {
  transposeA: boolean;
  transposeB: boolean;
  activation: string;
  leakyreluAlpha?: number;
}

function activated(y: Tensor, { activation, leakyreluAlpha }: FusedAttrs, weights?: Tensor): Tensor {
  const activations: Record<string, () => Tensor> = {
    linear: () => y,
    relu: () => relu(y),
    relu6: () => relu6(y),
    elu: () => elu(y),
    sigmoid: () => sigmoid(y),
    leakyrelu: () => leakyRelu(y, leakyreluAlpha),
    prelu: () => prelu(y, weights as Tensor),
  };
  const apply = activations[activation];
  if (apply === undefined)
    throw new Error(`kernels: wasm knows no fused activation "${activation}"; apply it after the product`);
  return apply();
}

/** wasm's loops, which it takes unless the matrices are plain, give columns the wrong bias. */
function composedFusedMatMul({ inputs, attrs }: KernelCall): Tensor {
  const { a, b, bias, preluActivationWeights } = inputs;
  const fusedAttrs = attrs as unknown as FusedAttrs;
  const product = matMul(a as Tensor3D, b as Tensor3D, fusedAttrs.transposeA, fusedAttrs.transposeB);
  return activated(bias == null ? product : add(product, bias), fusedAttrs, preluActivationWeights);
}

/** Repairs of the matrix product with a bias and an activation. */
export const repairedFusedMatMul: RepairedKernel[] = [
  { kernel: _FusedMatMul, backends: ['wasm'], run: composedFusedMatMul },
];
