import { activationGradients } from './activations.ts';
import { arithmeticGradients } from './arithmetic.ts';
import { convolutionGradients } from './convolution.ts';
import { convolution3dGradients } from './convolution3d.ts';
import type { KernelGradient } from './definition.ts';
import { depthwiseGradients } from './depthwise.ts';
import { einsumGradients } from './einsum.ts';
import { indexingGradients } from './indexing.ts';
import { matMulGradients } from './matmul.ts';
import { normalizationGradients } from './normalization.ts';
import { poolingGradients } from './pooling.ts';
import { reductionGradients } from './reductions.ts';
import { resizeGradients } from './resize.ts';
import { shapeGradients } from './shape.ts';
import { slicingGradients } from './slicing.ts';
import { unaryGradients } from './unary.ts';

/** Every gradient that installGradients() registers. */
export const kernelGradients: readonly KernelGradient[] = [
  ...activationGradients,
  ...arithmeticGradients,
  ...convolutionGradients,
  ...convolution3dGradients,
  ...depthwiseGradients,
  ...einsumGradients,
  ...indexingGradients,
  ...matMulGradients,
  ...normalizationGradients,
  ...poolingGradients,
  ...reductionGradients,
  ...resizeGradients,
  ...shapeGradients,
  ...slicingGradients,
  ...unaryGradients,
];
