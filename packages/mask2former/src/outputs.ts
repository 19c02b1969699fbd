import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';

/** What one layer of the decoder predicts. Probabilities are not normalised yet. */
export interface Prediction {
  /** [B, Q, V + 1]; the last class is "no object" */
  readonly classQueriesLogits: Tensor3D;
  /** [B, Q, H / 4, W / 4] for an input of H x W: the finest level of the pyramid */
  readonly masksQueriesLogits: Tensor4D;
}

/** The last layer's prediction, and where asked for those of the layers before it: first of the queries themselves. */
export interface Mask2FormerOutput extends Prediction {
  readonly auxiliary: readonly Prediction[];
}
