import type { Padding2d } from '@rass/kernels';
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Conv2d, Embedding, GroupNorm, LayerNorm, Linear, Parameter } from './leaf.ts';

/** How a tensor starts where no checkpoint gives it. `uniform` is in [-bound, bound); `values` are all of them, in order. */
export type Initializer =
  | { kind: 'uniform'; bound: number }
  | { kind: 'normal'; deviation: number }
  | { kind: 'constant'; value: number }
  | { kind: 'values'; values: Float32Array };

/** How a layer starts where not as PyTorch's. */
export interface LayerInit {
  readonly weight?: Initializer;
  readonly bias?: Initializer;
}

/** One tensor that a model asks its source for. */
export interface TensorRequest {
  /** The checkpoint's key. */
  readonly key: string;
  /** As the tree holds it: a convolution's weight is [Kh, Kw, I, O]. */
  readonly shape: readonly number[];
  /** As the checkpoint holds it: a convolution's weight is [O, I, Kh, Kw]. */
  readonly checkpointShape: readonly number[];
  /** Whether the two differ by the convolution's transposition. */
  readonly layout: 'same' | 'conv2d';
  readonly init: Initializer;
}

export type TensorProvider = (request: TensorRequest) => Tensor;

interface Conv2dSpec {
  /** Rows and columns of the kernel; default 3. */
  kernel?: number;
  stride?: number;
  padding?: Padding2d;
  bias?: boolean;
  init?: LayerInit;
}

interface LinearSpec {
  bias?: boolean;
  init?: LayerInit;
}

/** A cursor over a checkpoint's paths, from which a model asks its leaves: `from.at('to_out').at(0).linear(8, 8)`.
 * What answers is the provider: a checkpoint, random initial values, or shapes alone.
 * Where nothing is loaded, weights start as PyTorch's layers do. @source torch.nn.Linear, Conv2d, Embedding */
export class ParamSource {
  readonly path: string;
  readonly #provide: TensorProvider;

  constructor(provide: TensorProvider, path = '') {
    this.#provide = provide;
    this.path = path;
  }

  /** The source one step further down: a module's name, or its number in a list. Dots may separate several steps. */
  at(step: string | number): ParamSource {
    return new ParamSource(this.#provide, this.path === '' ? `${step}` : `${this.path}.${step}`);
  }

  /** @shape weight [outputs, inputs], bias [outputs] */
  linear(inputs: number, outputs: number, { bias = true, init = {} }: LinearSpec = {}): Linear {
    const uniform = { kind: 'uniform', bound: 1 / Math.sqrt(inputs) } as const;
    const weight = this.#tensor('weight', [outputs, inputs], init.weight ?? uniform) as Tensor2D;
    return {
      kind: 'linear',
      path: this.path,
      weight,
      bias: bias ? this.#vector('bias', outputs, init.bias ?? uniform) : undefined,
    };
  }

  /** @shape weight [kernel, kernel, inputs, outputs], bias [outputs] */
  conv2d(
    inputs: number,
    outputs: number,
    { kernel = 3, stride = 1, padding = 0, bias = true, init = {} }: Conv2dSpec = {},
  ): Conv2d {
    const uniform = { kind: 'uniform', bound: 1 / Math.sqrt(inputs * kernel * kernel) } as const;
    const weight = this.#provide({
      key: this.#key('weight'),
      shape: [kernel, kernel, inputs, outputs],
      checkpointShape: [outputs, inputs, kernel, kernel],
      layout: 'conv2d',
      init: init.weight ?? uniform,
    }) as Tensor4D;
    return {
      kind: 'conv2d',
      path: this.path,
      weight,
      bias: bias ? this.#vector('bias', outputs, init.bias ?? uniform) : undefined,
      stride,
      padding,
    };
  }

  /** @shape weight [channels], bias [channels] */
  groupNorm(channels: number, { groups, epsilon = 1e-5 }: { groups: number; epsilon?: number }): GroupNorm {
    return { kind: 'groupNorm', path: this.path, ...this.#affine(channels), groups, epsilon };
  }

  /** @shape weight [channels], bias [channels] */
  layerNorm(channels: number, { epsilon = 1e-5 }: { epsilon?: number } = {}): LayerNorm {
    return { kind: 'layerNorm', path: this.path, ...this.#affine(channels), epsilon };
  }

  /** @shape weight [count, width] */
  embedding(count: number, width: number, init: Initializer = { kind: 'normal', deviation: 1 }): Embedding {
    return { kind: 'embedding', path: this.path, weight: this.#tensor('weight', [count, width], init) as Tensor2D };
  }

  /** A tensor that the checkpoint keeps by itself: its key is the path. */
  parameter<T extends Tensor>(shape: readonly number[], init: Initializer): Parameter<T> {
    const value = this.#provide({ key: this.path, shape, checkpointShape: shape, layout: 'same', init }) as T;
    return { kind: 'parameter', path: this.path, value };
  }

  #key(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  #tensor(name: string, shape: readonly number[], init: Initializer): Tensor {
    return this.#provide({ key: this.#key(name), shape, checkpointShape: shape, layout: 'same', init });
  }

  #vector(name: string, length: number, init: Initializer): Tensor1D {
    return this.#tensor(name, [length], init) as Tensor1D;
  }

  #affine(channels: number): { weight: Tensor1D; bias: Tensor1D } {
    return {
      weight: this.#tensor('weight', [channels], { kind: 'constant', value: 1 }) as Tensor1D,
      bias: this.#tensor('bias', [channels], { kind: 'constant', value: 0 }) as Tensor1D,
    };
  }
}
