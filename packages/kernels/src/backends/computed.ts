import { slice, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** Waits until a tensor has been computed: a GPU works behind the calls that feed it, and one value read back says that it has come this far.
 * The tensor stays as it is. */
export async function computed(tensor: Tensor): Promise<void> {
  const corner = tidy(() =>
    slice(
      tensor,
      tensor.shape.map(() => 0),
      tensor.shape.map(() => 1),
    ),
  );
  await corner.data();
  corner.dispose();
}
