import { expectClose, randomValues } from '@rass/testkit';
import { type Checkpoint, encodeSafetensors, openCheckpoint } from '@rass/weights';
import { expect, it } from 'vitest';
import type { LayerUpdate, LoraUpdate } from '../state.ts';
import { updateDelta } from './delta.ts';
import { extractAdapter } from './extract.ts';

const SHAPES: Record<string, number[]> = {
  'to_q.weight': [8, 6],
  'conv.weight': [6, 4, 3, 3],
  'norm.weight': [6],
  'still.weight': [4, 4],
};

const random = (seed: number, shape: number[]): Float32Array<ArrayBuffer> =>
  randomValues(
    shape.reduce((a, b) => a * b, 1),
    { seed },
  );

async function checkpoint(tensors: Record<string, Float32Array<ArrayBuffer>>, shapes = SHAPES): Promise<Checkpoint> {
  const named = Object.entries(tensors).map(([key, data]) => [
    key,
    { dtype: 'F32' as const, shape: shapes[key], data },
  ]);
  return openCheckpoint(await encodeSafetensors(Object.fromEntries(named)));
}

const update = (seed: number, rank: number, shape: number[]): LoraUpdate => ({
  kind: 'lora',
  down: { shape: [rank, ...shape.slice(1)], data: random(seed, [rank, ...shape.slice(1)]) },
  up: { shape: [shape[0], rank, ...shape.slice(2).map(() => 1)], data: random(seed + 1, [shape[0], rank]) },
  alpha: 2,
});

const plus = (a: Float32Array, b: Float32Array) => a.map((value, i) => value + b[i]) as Float32Array<ArrayBuffer>;

async function pair() {
  const before = Object.fromEntries(Object.entries(SHAPES).map(([key, shape], i) => [key, random(i + 1, shape)]));
  const known: Record<string, LayerUpdate> = {
    to_q: update(20, 2, SHAPES['to_q.weight']),
    conv: update(30, 3, SHAPES['conv.weight']),
  };
  const after = { ...before };
  for (const [path, each] of Object.entries(known)) {
    after[`${path}.weight`] = plus(before[`${path}.weight`], updateDelta(each, SHAPES[`${path}.weight`]));
  }
  after['norm.weight'] = plus(before['norm.weight'], new Float32Array(6).fill(0.5));
  return { base: await checkpoint(before), tuned: await checkpoint(after), known, after };
}

it('recovers an adapter of known rank, and says what it left', async () => {
  const { base, tuned, known } = await pair();
  const { state, report, left } = await extractAdapter({ base, tuned }, { rank: 3 });
  expect([...state.layers.keys()].sort()).toEqual(['conv', 'to_q']);
  for (const [path, each] of Object.entries(known)) {
    const shape = SHAPES[`${path}.weight`];
    await expectClose(updateDelta(state.layers.get(path) as LayerUpdate, shape), updateDelta(each, shape));
  }
  expect(report.every(({ kept }) => kept > 0.999999)).toBe(true);
  expect(left).toEqual(['norm.weight']);
  expect((state.layers.get('conv') as LoraUpdate).down.shape).toEqual([3, 4, 3, 3]);
  expect(state.config).toMatchObject({ rank: 3, alpha: 3 });
});

it('chooses ranks by energy, layers by name, and keeps the rest where asked', async () => {
  const { base, tuned, after } = await pair();
  const { state, report } = await extractAdapter(
    { base, tuned },
    { frobenius: 0.99999 },
    { targets: ['to_q'], keepRest: true },
  );
  expect(report.map(({ path, after: rank }) => [path, rank])).toEqual([['to_q', 2]]);
  expect([...state.whole.keys()].sort()).toEqual(['conv.weight', 'norm.weight']);
  await expectClose(state.whole.get('norm.weight')!.data, after['norm.weight'], { relative: 0 });
});

it('takes tables for embeddings where it is told, and cuts off at a quantile', async () => {
  const { base, tuned, known } = await pair();
  const { state } = await extractAdapter({ base, tuned }, { rank: 2 }, { targets: ['to_q'], embeddings: ['to_q'] });
  const table = state.layers.get('to_q') as LoraUpdate;
  expect([table.embedding, table.down.shape, table.up.shape]).toEqual([true, [2, 8], [6, 2]]);
  await expectClose(updateDelta(table, [8, 6]), updateDelta(known.to_q, [8, 6]));
  await expect(
    extractAdapter({ base, tuned }, { rank: 2 }, { targets: 'all-linear', embeddings: ['to_q', 'still'] }),
  ).rejects.toThrow('lora: targets choose at least one layer');
  const cut = await extractAdapter({ base, tuned }, { rank: 2 }, { targets: ['to_q'], clampQuantile: 0.5 });
  const { up, down } = cut.state.layers.get('to_q') as LoraUpdate;
  const most = Math.max(...up.data.map(Math.abs));
  expect(down.data.filter((value) => Math.abs(value) === most).length).toBeGreaterThan(3);
});

it('limits ranks, of convolutions apart, in a configuration that fits them', async () => {
  const { base, tuned } = await pair();
  const { state, report } = await extractAdapter({ base, tuned }, { frobenius: 1 }, { maxRank: 2, maxConvRank: 1 });
  expect(report.map(({ path, after }) => [path, after])).toEqual([
    ['conv', 1],
    ['to_q', 2],
  ]);
  expect(report[0].kept).toBeLessThan(0.99);
  expect(state.config).toMatchObject({ rank: 1, rankPattern: { '^to_q': 2 }, targets: ['conv', 'to_q'] });
});

it('leaves small differences out', async () => {
  const { base, tuned } = await pair();
  const { left, state } = await extractAdapter({ base, tuned }, { rank: 1 }, { minDifference: 0.6 });
  // The norm differs by 0.5.
  expect([left, state.layers.size]).toEqual([[], 2]);
});

it('stops when told to, and reports how far it is', async () => {
  const { base, tuned } = await pair();
  const seen: number[] = [];
  await extractAdapter({ base, tuned }, { rank: 1 }, { onProgress: ({ done, total }) => seen.push(done / total) });
  expect(seen).toEqual([0.25, 0.5, 0.75, 1]);
  await expect(extractAdapter({ base, tuned }, { rank: 1 }, { signal: AbortSignal.abort() })).rejects.toThrow(
    'aborted',
  );
});

it('says what does not belong together', async () => {
  const { base, tuned } = await pair();
  const other = await checkpoint({ 'to_q.weight': random(1, [2, 2]) }, { 'to_q.weight': [2, 2] });
  await expect(extractAdapter({ base, tuned: other }, { rank: 1 })).rejects.toThrow(
    /^lora: an adapter is extracted from two checkpoints of one model; got ".*" \[.*\] in .* and .* in .*; choose two that belong together$/,
  );
  await expect(extractAdapter({ base, tuned: base }, { rank: 1 })).rejects.toThrow(
    'lora: two checkpoints differ where an adapter is extracted; got no difference over 0 in 3 layers',
  );
  await expect(extractAdapter({ base, tuned }, { rank: 1 }, { targets: ['to_qq'] })).rejects.toThrow(
    'lora: no layer matches "to_qq"; closest: to_q',
  );
});
