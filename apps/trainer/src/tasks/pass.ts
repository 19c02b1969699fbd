import { forwardPass } from '@rass/kernels';
import { type Scalar, scalar, type Tensor } from '@tensorflow/tfjs-core';
import type { BatchResult } from '../training/task.ts';

/** The terms of a loss as numbers, and the gradients of its `loss` by each variable. */
export async function batchResult(
  variables: Record<string, Tensor>,
  terms: () => Record<string, Scalar>,
): Promise<BatchResult> {
  const pass = forwardPass(terms, variables);
  try {
    const names = Object.keys(pass.outputs);
    const values = await Promise.all(
      names.map(async (name) => [name, (await pass.outputs[name]!.data())[0]!] as const),
    );
    const one = scalar(1);
    const gradients = pass.gradients({ loss: one });
    one.dispose();
    return { terms: Object.fromEntries(values), gradients };
  } finally {
    pass.dispose();
  }
}
