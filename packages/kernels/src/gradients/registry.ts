import { activationGradients } from './activations.ts';
import { arithmeticGradients } from './arithmetic.ts';
import { convolutionGradients } from './convolution.ts';
import type { KernelGradient } from './definition.ts';
import { indexingGradients } from './indexing.ts';
import { matMulGradients } from './matmul.ts';
import { reductionGradients } from './reductions.ts';
import { shapeGradients } from './shape.ts';
import { unaryGradients } from './unary.ts';

/** Every gradient that installGradients() registers. */
export const kernelGradients: readonly KernelGradient[] = [
  ...activationGradients,
  ...arithmeticGradients,
  ...convolutionGradients,
  ...indexingGradients,
  ...matMulGradients,
  ...reductionGradients,
  ...shapeGradients,
  ...unaryGradients,
];
