import type { Padding2d } from '@rass/kernels';
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Conv2d, Embedding, GroupNorm, LayerNorm, Linear, Parameter } from './leaf.ts';

/** How a tensor starts where no checkpoint gives it. `uniform` is in [-bound, bound). */
export type Initializer =
  | { kind: 'uniform'; bound: number }
  | { kind: 'normal'; deviation: number }
  | { kind: 'constant'; value: number };

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
  linear(inputs: number, outputs: number, { bias = true }: { bias?: boolean } = {}): Linear {
    const bound = 1 / Math.sqrt(inputs);
    const weight = this.#tensor('weight', [outputs, inputs], { kind: 'uniform', bound }) as Tensor2D;
    return { kind: 'linear', path: this.path, weight, bias: bias ? this.#vector('bias', outputs, bound) : undefined };
  }

  /** @shape weight [kernel, kernel, inputs, outputs], bias [outputs] */
  conv2d(
    inputs: number,
    outputs: number,
    { kernel = 3, stride = 1, padding = 0, bias = true }: Conv2dSpec = {},
  ): Conv2d {
    const bound = 1 / Math.sqrt(inputs * kernel * kernel);
    const weight = this.#provide({
      key: this.#key('weight'),
      shape: [kernel, kernel, inputs, outputs],
      checkpointShape: [outputs, inputs, kernel, kernel],
      layout: 'conv2d',
      init: { kind: 'uniform', bound },
    }) as Tensor4D;
    return {
      kind: 'conv2d',
      path: this.path,
      weight,
      bias: bias ? this.#vector('bias', outputs, bound) : undefined,
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

  #vector(name: string, length: number, bound: number): Tensor1D {
    return this.#tensor(name, [length], { kind: 'uniform', bound }) as Tensor1D;
  }

  #affine(channels: number): { weight: Tensor1D; bias: Tensor1D } {
    return {
      weight: this.#tensor('weight', [channels], { kind: 'constant', value: 1 }) as Tensor1D,
      bias: this.#tensor('bias', [channels], { kind: 'constant', value: 0 }) as Tensor1D,
    };
  }
}
