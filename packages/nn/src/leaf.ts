import type { Padding2d } from '@rass/kernels';
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';

/** What computes beside a layer's own weight, such as a LoRA: @rass/lora makes them. Its parameters are leaves with paths of their
 * own, which stand behind the layer's wherever a tree is listed, mapped, trained or freed. */
export interface Adapter<Params = unknown> {
  readonly params: Params;
  /** What the layer gives with the adapter. `base` runs the layer, or one made of it, without any. */
  readonly forward: (params: Params, layer: Layer, x: Tensor, base: LayerForward) => Tensor;
  /** The one layer without an adapter that gives the same. */
  readonly plain: (params: Params, layer: Layer) => Layer;
}

/** A layer's own forward pass. */
export type LayerForward = (layer: Layer, x: Tensor) => Tensor;

/** A fully connected layer. weight [O, I], bias [O] */
export interface Linear {
  readonly kind: 'linear';
  /** Where the checkpoint keeps it, spelled as the checkpoint does: `down_blocks.0.attentions.0.proj_in`. */
  readonly path: string;
  readonly weight: Tensor2D;
  readonly bias?: Tensor1D;
  readonly adapter?: Adapter;
}

/** A convolution. weight [Kh, Kw, I, O], bias [O] */
export interface Conv2d {
  readonly kind: 'conv2d';
  readonly path: string;
  readonly weight: Tensor4D;
  readonly bias?: Tensor1D;
  readonly stride: number;
  readonly padding: Padding2d;
  readonly adapter?: Adapter;
}

/** A group normalisation. weight [C], bias [C] */
export interface GroupNorm {
  readonly kind: 'groupNorm';
  readonly path: string;
  readonly weight: Tensor1D;
  readonly bias: Tensor1D;
  readonly groups: number;
  readonly epsilon: number;
  readonly adapter?: Adapter;
}

/** A layer normalisation. weight [C], bias [C] */
export interface LayerNorm {
  readonly kind: 'layerNorm';
  readonly path: string;
  readonly weight: Tensor1D;
  readonly bias: Tensor1D;
  readonly epsilon: number;
  readonly adapter?: Adapter;
}

/** A table of vectors. weight [V, C] */
export interface Embedding {
  readonly kind: 'embedding';
  readonly path: string;
  readonly weight: Tensor2D;
  readonly adapter?: Adapter;
}

/** A tensor that the checkpoint keeps by itself, under exactly `path`. */
export interface Parameter<T extends Tensor = Tensor> {
  readonly kind: 'parameter';
  readonly path: string;
  readonly value: T;
}

/** The leaves that compute. */
export type Layer = Linear | Conv2d | GroupNorm | LayerNorm | Embedding;

export type Leaf = Layer | Parameter;
export type LeafKind = Leaf['kind'];
