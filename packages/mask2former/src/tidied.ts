import { type TensorContainer, tidy } from '@tensorflow/tfjs-core';

/** TensorFlow.js' tidy for functions that return interfaces, which its types do not know. */
export function tidied<T>(run: () => T): T {
  return tidy(run as unknown as () => TensorContainer) as unknown as T;
}
