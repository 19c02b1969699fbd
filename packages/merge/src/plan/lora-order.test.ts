import type { AdapterState } from '@rass/lora';
import { expect, it } from 'vitest';
import { BufferPool } from '../run/buffer-pool.ts';
import { partsOf } from './layers.ts';
import { loraNode } from './lora-node.ts';
import type { TensorNode } from './node.ts';

const host = (shape: number[], ...values: number[]) => ({ shape, data: Float32Array.from(values) });

const tensors = { 'conv_in.weight': host([1, 1], 3), 'conv_in.bias': host([1], 1) };
type Key = keyof typeof tensors;

const base = {
  name: 'model',
  keys: Object.keys(tensors),
  has: (key: string) => key in tensors,
  info: (key: string) => ({ dtype: 'F32', shape: tensors[key as Key].shape }),
  isSliced: () => true,
  read: async (key: string) => tensors[key as Key].data.slice(),
  footprint: () => 0,
} as unknown as TensorNode;

/** As RASS's conv_in: trained whole, with a product on top; and a bias of the second factor. */
const state: AdapterState = {
  rsLora: false,
  layers: new Map([
    ['conv_in', { kind: 'lora', down: host([1, 1], 5), up: host([1, 1], 2), upBias: host([1], 7), alpha: 2 }],
  ]),
  whole: new Map([['conv_in.weight', host([1, 1], 100)]]),
};

/** Reads of the model with an adapter folded in. */
function reader(adapter: AdapterState, scale: number) {
  const tensors = partsOf(base, 'unet').get('unet')!;
  const node = loraNode(base, [{ name: 'adapter', state: adapter, scale, tensors }]);
  const context = { pool: new BufferPool(), mayBeNonFinite: () => false };
  const read = async (key: string) => [...(await node.read(key, { start: 0, count: 1 }, context))];
  return { node, read };
}

it('a layer that is trained whole takes the place of the model, and its product is added to it', async () => {
  const { node, read } = reader(state, 0.5);
  // 100 + 0.5 * 2 * 2 * 5, and 1 + 0.5 * 2 * 7.
  expect(await read('conv_in.weight')).toEqual([110]);
  expect(await read('conv_in.bias')).toEqual([8]);
  expect(node.isSliced('conv_in.weight')).toBe(false);
});

it("adds a whole difference, and the bias's", async () => {
  const layers: AdapterState['layers'] = new Map([
    ['conv_in', { kind: 'diff', weight: host([1, 1], 4), bias: host([1], 6) }],
  ]);
  const { read } = reader({ rsLora: false, layers, whole: new Map() }, 0.5);
  expect(await read('conv_in.weight')).toEqual([5]);
  expect(await read('conv_in.bias')).toEqual([4]);
});

it('leaves all as it is with a scale of 0, a tensor that was trained whole too', async () => {
  const { read } = reader(state, 0);
  expect([await read('conv_in.weight'), await read('conv_in.bias')]).toEqual([[3], [1]]);
});
