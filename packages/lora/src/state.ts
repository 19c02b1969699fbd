import type { LoraConfig } from './config.ts';

/** Numbers outside of any backend, row-major, laid out as checkpoints have them: a linear weight is [O, I], a
 * convolution's [O, I, Kh, Kw]. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** W + scale * up down, scale = alpha / rank, or alpha / sqrt(rank) where the state says rsLora. Rank is the first size of `down`. */
export interface LoraUpdate {
  readonly kind: 'lora';
  /** [R, I], or [R, I, Kh, Kw]; for an embedding [R, V]. */
  readonly down: HostTensor;
  /** [O, R], or [O, R, 1, 1]; for an embedding [C, R]. */
  readonly up: HostTensor;
  /** Tucker's core, [R, R, Kh, Kw], between `up` and a 1 x 1 `down`. */
  readonly mid?: HostTensor;
  /** A bias of `up`, scaled with the product and added to the layer's. [O] */
  readonly upBias?: HostTensor;
  readonly alpha: number;
  /** DoRA's lengths: [O], or for an embedding [C]. */
  readonly magnitude?: HostTensor;
  /** `inputs` where the lengths are those of the inputs, [I]: LyCORIS' wd_on_output false, and all of its older files. */
  readonly magnitudeAxis?: 'inputs';
  /** Whether the layer is an embedding, whose weight [V, C] is the product transposed. */
  readonly embedding?: boolean;
}

/** W + scale * (w1 * w2 elementwise), each a product a b of its own; with t a Tucker core. @source LyCORIS LoHa */
export interface LohaUpdate {
  readonly kind: 'loha';
  /** [O, R] and [R, I Kh Kw]; with a core [R, O] and [R, I], and the core [R, R, Kh, Kw]. */
  readonly w1: { readonly a: HostTensor; readonly b: HostTensor; readonly t?: HostTensor };
  readonly w2: { readonly a: HostTensor; readonly b: HostTensor; readonly t?: HostTensor };
  readonly alpha: number;
  readonly magnitude?: HostTensor;
  readonly magnitudeAxis?: 'inputs';
}

/** W + scale * kron(w1, w2), each whole or a product. @source LyCORIS LoKr */
export interface LokrUpdate {
  readonly kind: 'lokr';
  readonly w1: HostTensor | { readonly a: HostTensor; readonly b: HostTensor };
  readonly w2: HostTensor | { readonly a: HostTensor; readonly b: HostTensor; readonly t?: HostTensor };
  readonly alpha: number;
  readonly magnitude?: HostTensor;
  readonly magnitudeAxis?: 'inputs';
}

/** W + the whole difference; a norm's too. @source kohya sd-scripts, LyCORIS `diff`, `w_norm` */
export interface DiffUpdate {
  readonly kind: 'diff';
  readonly weight: HostTensor;
  /** What is added to the layer's bias. [O] */
  readonly bias?: HostTensor;
}

export type LayerUpdate = LoraUpdate | LohaUpdate | LokrUpdate | DiffUpdate;

/** An adapter outside of any backend: what a file holds, and what the algebra of adapters works on. */
export interface AdapterState {
  /** What is known of how it was made; a file of kohya's says nothing. */
  readonly config?: LoraConfig;
  /** Scale by alpha / sqrt(rank). */
  readonly rsLora: boolean;
  /** By the path of the layer, spelled as diffusers spells it. */
  readonly layers: ReadonlyMap<string, LayerUpdate>;
  /** Tensors trained whole, by their checkpoint key: `conv_in.weight`. */
  readonly whole: ReadonlyMap<string, HostTensor>;
}
