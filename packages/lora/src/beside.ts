import type { Adapter, Layer, LayerForward, Leaf, Linear } from '@rass/nn';
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

/** The second factor's weight with the scale in it. */
const scaledUp = ({ factors, scale }: ScaledFactors): Tensor =>
  keep(tidy(() => mul((factors.up as Linear).weight, scale)));

/** A layer's factors, and what their product is multiplied by. */
export interface ScaledFactors {
  readonly factors: Factors;
  readonly scale: number;
}

/** @throws when there is an adapter on the layer that is not of products beside it */
export function checkBeside({ path, adapter }: Layer): void {
  if (adapter === undefined || adapter.forward === forward) return;
  throw new Error(
    `lora: products go beside a packed weight without other adapters; got one on ${path}; load the model without packed weights`,
  );
}

/** The layer with products beside it, and those that are there already: for weights that cannot take them up; and the tensors that were made for it.
 * The second factors given are the caller's to dispose of, the first ones are the new layer's. */
export function withBeside(leaf: Leaf, own: readonly ScaledFactors[]): { leaf: Leaf; made: Tensor[] } {
  const { adapter } = leaf as Layer;
  const before = adapter === undefined ? [] : (adapter.params as Beside);
  const made: Tensor[] = [];
  try {
    for (const each of own) made.push(scaledUp(each));
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  }
  const scaled = own.map(({ factors }, i) => ({ ...factors, up: { ...factors.up, weight: made[i] } }) as Factors);
  const beside: Adapter = { params: [...before, ...scaled], forward, plain };
  return { leaf: { ...leaf, adapter: beside } as Leaf, made };
}
