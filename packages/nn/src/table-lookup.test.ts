import { selectBackend } from '@rass/kernels';
import { describeOnBackends, expectClose, expectNoLeaks, gradientCheck } from '@rass/testkit';
import {
  add,
  getBackend,
  grad,
  mul,
  scalar,
  sum,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { embedding } from './layers.ts';
import { tableRows } from './table-lookup.ts';

const table = (): Tensor2D =>
  tensor2d([
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
    [10, 11, 12],
  ]);
const ids = (): Tensor => tensor([3, 0, 3, 1], [2, 2], 'int32');
const rows = [10, 11, 12, 1, 2, 3, 10, 11, 12, 4, 5, 6];

describeOnBackends('table lookup', () => {
  it('takes rows by number, in the shape of the numbers', async () => {
    const x = tidy(() => tableRows(table(), ids()));
    expect(x.shape).toEqual([2, 2, 3]);
    await expectClose(await x.data(), rows);
  });

  it('refuses ids that the table has not', () => {
    for (const id of [-1, 4]) expect(() => tableRows(table(), tensor([1, id], [2], 'int32'))).toThrow();
    if (getBackend() === 'wasm') return;
    expect(() => tableRows(table(), tensor([1, 4], [2], 'int32'))).toThrow(
      'embedding: ids are whole numbers from 0 to 3; got 4 at 1; check what made them',
    );
  });

  it('adds gradients up into the rows', () => gradientCheck((t) => tableRows(t as Tensor2D, ids()), [table()]));
});

/** So small that the table does not fit, and its rows do. */
const limits = { maxStorageBufferBindingSize: 32 };

describe.skipIf(!inject('backends').includes('webgpu'))('table lookup over the limits of a device', () => {
  beforeAll(() => selectBackend('webgpu', { webgpu: { limits } }));
  afterAll(() => selectBackend('webgpu'));

  it('sends only the rows to the device', async () => {
    await expectNoLeaks(async () => {
      const x = tidy(() => mul(tableRows(table(), tensor([2, 1], [2], 'int32')), 2));
      expect(x.shape).toEqual([2, 3]);
      await expectClose(await x.data(), [14, 16, 18, 8, 10, 12]);
      x.dispose();
    });
  });

  it('lets gradients past a frozen table', async () => {
    const loss = (shift: Tensor) => sum(mul(add(tableRows(table(), tensor([2, 1], [2], 'int32')), shift), shift));
    const dShift = grad(loss)(tensor([1, 0, -1]));
    // d/ds of (row2 + s) s + (row1 + s) s = row2 + row1 + 4 s
    await expectClose(await dShift.data(), [15, 13, 11]);
  });

  it('refuses numbers that the table has not, and numbers that the device alone holds', () => {
    const tokens = { kind: 'embedding', path: 'tokens', weight: table() } as const;
    expect(() => embedding(tokens, tensor([4], [1], 'int32'))).toThrow(
      'tokens: embedding: ids are whole numbers from 0 to 3; got 4 at 0; check what made them',
    );
    const onDevice = tidy(() => add(tensor([1], [1], 'int32'), scalar(0, 'int32'))) as Tensor;
    expect(() => embedding(tokens, onDevice)).toThrow(/GatherV2: a tensor must fit into 32 B/);
  });
});
