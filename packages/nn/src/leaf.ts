import type { Padding2d } from '@rass/kernels';
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';

/** A fully connected layer. weight [O, I], bias [O] */
export interface Linear {
  readonly kind: 'linear';
  /** Where the checkpoint keeps it, spelled as the checkpoint does: `down_blocks.0.attentions.0.proj_in`. */
  readonly path: string;
  readonly weight: Tensor2D;
  readonly bias?: Tensor1D;
}

/** A convolution. weight [Kh, Kw, I, O], bias [O] */
export interface Conv2d {
  readonly kind: 'conv2d';
  readonly path: string;
  readonly weight: Tensor4D;
  readonly bias?: Tensor1D;
  readonly stride: number;
  readonly padding: Padding2d;
}

/** A group normalisation. weight [C], bias [C] */
export interface GroupNorm {
  readonly kind: 'groupNorm';
  readonly path: string;
  readonly weight: Tensor1D;
  readonly bias: Tensor1D;
  readonly groups: number;
  readonly epsilon: number;
}

/** A layer normalisation. weight [C], bias [C] */
export interface LayerNorm {
  readonly kind: 'layerNorm';
  readonly path: string;
  readonly weight: Tensor1D;
  readonly bias: Tensor1D;
  readonly epsilon: number;
}

/** A table of vectors. weight [V, C] */
export interface Embedding {
  readonly kind: 'embedding';
  readonly path: string;
  readonly weight: Tensor2D;
}

/** A tensor that the checkpoint keeps by itself, under exactly `path`. */
export interface Parameter<T extends Tensor = Tensor> {
  readonly kind: 'parameter';
  readonly path: string;
  readonly value: T;
}

export type Leaf = Linear | Conv2d | GroupNorm | LayerNorm | Embedding | Parameter;
export type LeafKind = Leaf['kind'];
