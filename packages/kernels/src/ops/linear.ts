import {
  add,
  engine,
  fused,
  matMul,
  reshape,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { isRecording, runFusedKernel } from './fused-kernel.ts';

function multiply(x_XI: Tensor, weight_OI: Tensor2D, bias?: Tensor1D): Tensor {
  if (!isRecording()) {
    const inputs: Record<string, Tensor> =
      bias === undefined ? { x: x_XI, weight: weight_OI } : { x: x_XI, weight: weight_OI, bias };
    const own = runFusedKernel('RassLinear', inputs, {});
    if (own !== undefined) return own[0];
    if (engine().backendName === 'webgpu') {
      return fused.matMul({ a: x_XI as Tensor2D, b: weight_OI, transposeA: false, transposeB: true, bias });
    }
  }
  const y = matMul(x_XI, weight_OI, false, true);
  return bias === undefined ? y : add(y, bias);
}

/** y = x W^T + b over the last axis. @shape x [..., I], weight [O, I], bias [O] -> [..., O]
 * @throws when the widths differ @source torch.nn.functional.linear */
export function linear<T extends Tensor>(x: T, weight: Tensor2D, bias?: Tensor1D): T {
  const [outputs, inputs] = weight.shape;
  if (x.shape[x.rank - 1] !== inputs) {
    throw new Error(
      `linear: the last axis of x is the weight's input width; got x [${x.shape}], weight [${weight.shape}]; check the layer's sizes`,
    );
  }
  return tidy(() => {
    // TensorFlow's own product takes any number of batches; each reshape would be an operation more, and one on the way back.
    if (engine().backendName === 'tensorflow') return multiply(x, weight, bias) as T;
    // One flat matmul: backends are slow at, or limited in, the number of batches.
    const flat = x.rank === 2 ? x : reshape(x, [-1, inputs]);
    const y = multiply(flat, weight, bias);
    return reshape(y, [...x.shape.slice(0, -1), outputs]) as T;
  });
}
