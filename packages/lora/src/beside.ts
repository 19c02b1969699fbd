import type { Adapter, Layer, LayerForward, Leaf } from '@rass/nn';
import { add, keep, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { product } from './product.ts';
import type { Factors } from './shares.ts';

/** Low-rank products that are computed beside a layer, their scales multiplied into the second factors. */
type Beside = readonly Factors[];

const sum = (first: Tensor, others: readonly Tensor[]): Tensor => others.reduce((all, one) => add(all, one), first);

function forward(params: unknown, layer: Layer, x: Tensor, base: LayerForward): Tensor {
  const through = ({ down, up }: Factors): Tensor => base(up as Layer, base(down as Layer, x));
  return tidy(() => sum(base(layer, x), (params as Beside).map(through)));
}

function plain(params: unknown, layer: Layer): Layer {
  const weight = sum(layer.weight, (params as Beside).map(product));
  return { ...layer, adapter: undefined, weight } as Layer;
}

/** The factors with the scale in the second one, which is used up. */
function scaled(factors: Factors, scale: number): Factors {
  const { up } = factors as Factors & { kind: 'linear' };
  if (scale === 1) return factors;
  const weight = keep(tidy(() => mul(up.weight, scale)));
  up.weight.dispose();
  return { ...factors, up: { ...up, weight } } as Factors;
}

/** The layer with products beside it, and those that are there already: for weights that cannot take them up. Factors of linear layers and of
 * convolutions are used up. */
export function withBeside(leaf: Leaf, own: readonly { readonly factors: Factors; readonly scale: number }[]): Leaf {
  const { adapter } = leaf as Layer;
  const before = adapter?.forward === forward ? (adapter.params as Beside) : [];
  const params: Beside = [...before, ...own.map(({ factors, scale }) => scaled(factors, scale))];
  return { ...leaf, adapter: { params, forward, plain } satisfies Adapter } as Leaf;
}
