import { keep, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { ParamSource, type TensorRequest } from './param-source.ts';
import { checkSeed, initialValues, namedRandom } from './random.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A source of PyTorch-like initial values, the same for the same seed on every backend, whatever the order of asking.
 * The tensors are kept: dispose of them with disposeParams. @throws when the seed is no whole number */
export function randomParams(seed: number): ParamSource {
  checkSeed('randomParams', seed);
  return new ParamSource((request) => {
    const values = initialValues(sizeOf(request.shape), request.init, namedRandom(seed, request.key));
    return keep(tensor(values, [...request.shape]));
  });
}

/** A source that allocates nothing: its leaves have shapes and no values, enough to count parameters and list keys.
 * `onRequest` sees every tensor that the model asks for, in order. */
export function shapeParams(onRequest?: (request: TensorRequest) => void): ParamSource {
  return new ParamSource((request) => {
    onRequest?.(request);
    const shape = [...request.shape];
    return { shape, rank: shape.length, size: sizeOf(shape), dtype: 'float32' } as unknown as Tensor;
  });
}
