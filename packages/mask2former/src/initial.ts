import type { LayerInit } from '@rass/nn';

/** Glorot's uniform initialisation, with the bias at zero. @source torch.nn.init.xavier_uniform_ */
export function xavier(inputs: number, outputs: number): Required<LayerInit> {
  return {
    weight: { kind: 'uniform', bound: Math.sqrt(6 / (inputs + outputs)) },
    bias: { kind: 'constant', value: 0 },
  };
}

/** He's uniform initialisation for a layer without a rectifier after it, as detectron2's layers have it, with the bias at zero.
 * `inputs` counts a convolution's channels times its kernel's positions. @source fvcore.nn.weight_init.c2_xavier_fill */
export function kaiming(inputs: number): Required<LayerInit> {
  return { weight: { kind: 'uniform', bound: Math.sqrt(3 / inputs) }, bias: { kind: 'constant', value: 0 } };
}
