import type { Conv2d, Embedding, Layer, Leaf, Linear, Parameter } from '@rass/nn';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { DoraRule } from './algebra/dora.ts';
import type { LoraConfig } from './config.ts';

/** A layer that takes a low-rank product. */
export type LoraLayer = Linear | Conv2d | Embedding;

/** The two factors of one layer. For an embedding they are transposed, [V, R] and [C, R], so that rows can be looked up. */
export type Factors =
  | { readonly kind: 'linear'; readonly down: Linear; readonly up: Linear }
  | { readonly kind: 'conv2d'; readonly down: Conv2d; readonly up: Conv2d }
  | { readonly kind: 'embedding'; readonly down: Parameter<Tensor2D>; readonly up: Parameter<Tensor2D> };

/** What one adapter adds to one layer. */
export interface Share {
  readonly config: LoraConfig;
  readonly factors?: Factors;
  /** Where PiSSA's and OLoRA's factors started: their product was taken out of the base weight. */
  readonly start?: Factors;
  /** DoRA's lengths. [O], or for an embedding [C] */
  readonly magnitude?: Parameter;
  readonly alpha: number;
  readonly rank: number;
  /** The adapter's own copy of the layer's bias, where that is trained and the layer is not trained whole. [O] */
  readonly bias?: Parameter<Tensor1D>;
  /** The adapter's own copy of a layer that is trained whole. */
  readonly whole?: Layer;
}

/** What all adapters add to one layer, and which of them act. */
export interface LayerShares {
  readonly shares: Readonly<Record<string, Share>>;
  /** By name, what their product is multiplied by beside its own scale; those that are not there do not act. */
  readonly active: Readonly<Record<string, number>>;
  /** By name, the rule by which DoRA is scaled; PEFT's where none is said. */
  readonly dora?: Readonly<Record<string, DoraRule>>;
  /** The layer as it was before the active adapters were merged into it. */
  readonly base?: Layer;
  /** Training: what the step's dropout is drawn from. */
  readonly seed?: number;
}

/** An adapter's share. Names are whatever a file has, so that they are asked for as an object's own. */
export const shareOf = (shares: LayerShares['shares'], name: string): Share | undefined =>
  Object.hasOwn(shares, name) ? shares[name] : undefined;

/** The adapters of a leaf; undefined where it has none. @throws on an adapter of another kind */
export function sharesOf(leaf: Leaf): LayerShares | undefined {
  if (!('adapter' in leaf) || leaf.adapter === undefined) return undefined;
  const params = leaf.adapter.params as Partial<LayerShares> | null;
  if (params?.shares !== undefined && params.active !== undefined) return params as LayerShares;
  if (Array.isArray(params)) {
    throw new Error(
      `lora: adapters are put on layers of float32; got products beside the packed weight of ${leaf.path}; load the model without packed weights`,
    );
  }
  throw new Error(`lora: ${leaf.path} has an adapter of this package or none; got another kind; remove it first`);
}
