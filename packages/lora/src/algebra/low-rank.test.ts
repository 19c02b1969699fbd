import { expectClose, loadGolden, randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { loraConfig, rankAndAlpha } from '../config.ts';
import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from '../state.ts';
import { combineAdapters } from './combine.ts';
import { thinQr } from './decompositions.ts';
import { updateDelta } from './delta.ts';
import { host, otherUpdate } from './golden.test-support.ts';
import { configOf } from './layer-config.ts';
import { clampToQuantile, lowRankUpdate } from './low-rank.ts';
import { matrixOf, multiply, scaleColumns, transpose } from './matrix.ts';
import { wantedRank } from './rank-rule.ts';
import { convertToLora, resizeAdapter } from './resize.ts';

const of = (shape: number[], seed: number): HostTensor => ({
  shape,
  data: randomValues(
    shape.reduce((a, b) => a * b, 1),
    { seed },
  ),
});

const lora = (rank: number, alpha: number): LoraUpdate => ({
  kind: 'lora',
  down: of([rank, 6], rank),
  up: of([5, rank], rank + 1),
  alpha,
});

/** A weight's difference with known singular values. */
function known(rows: number, columns: number, values: number[]): HostTensor {
  const [left, right] = [rows, columns].map((side) => thinQr(matrixOf(side, of([side, values.length], side).data)).q);
  return {
    shape: [rows, columns],
    data: new Float32Array(multiply(scaleColumns(left, values), transpose(right)).data),
  };
}

describe('the rank of a difference', () => {
  const values = [8, 4, 2, 1];

  it.each([
    [{ rank: 3 }, 3],
    [{ ratio: 1 }, 1],
    // Strictly more than 8 / 2 = 4, as kohya compares.
    [{ ratio: 2 - 1e-9 }, 1],
    [{ ratio: 2.001 }, 2],
    [{ ratio: 5 }, 3],
    // 12 / 15 and 14 / 15 of the sum.
    [{ cumulative: 0.79 }, 2],
    [{ cumulative: 0.81 }, 3],
    [{ cumulative: 1 }, 4],
    // sqrt(80 / 85) = 0.9701 of the norm.
    [{ frobenius: 0.97 }, 2],
    [{ frobenius: 0.9702 }, 3],
    [{ frobenius: 1 }, 4],
  ] as const)('is what the rule says: %j', (rule, expected) => {
    expect(wantedRank(rule, Float64Array.from(values))).toBe(expected);
  });

  it('of none is one', () => {
    for (const rule of [{ ratio: 4 }, { frobenius: 0.5 }, { cumulative: 0.5 }, { rank: 3 }]) {
      const { update, kept } = lowRankUpdate({ shape: [4, 5], data: new Float32Array(20) }, rule);
      expect([update.down.shape[0], kept]).toEqual([1, 1]);
    }
  });

  it('keeps the share of the whole norm, also under a limit', () => {
    const delta = known(20, 30, values);
    expect(lowRankUpdate(delta, { frobenius: 0.999 }, { maxRank: 2 }).kept).toBeCloseTo(Math.sqrt(80 / 85), 5);
    expect(lowRankUpdate(delta, { frobenius: 0.971 }).update.down.shape).toEqual([3, 30]);
    expect(lowRankUpdate(delta, { cumulative: 0.79 }, { maxRank: 3 }).update.down.shape[0]).toBe(2);
  });

  it('of a large weight is found from a sample, and exactly where that is too small', async () => {
    const few = lowRankUpdate(known(700, 720, values), { frobenius: 0.971 });
    expect([few.update.down.shape[0], few.kept]).toEqual([3, expect.closeTo(Math.sqrt(84 / 85), 5)]);
    const delta = known(
      700,
      720,
      Array.from({ length: 25 }, () => 1),
    );
    // 24 of 25 equal squares: more than the 16 that are looked for first.
    const { update, kept } = lowRankUpdate(delta, { frobenius: Math.sqrt(0.959) });
    expect([update.down.shape[0], kept]).toEqual([24, expect.closeTo(Math.sqrt(0.96), 5)]);
    const whole = lowRankUpdate(delta, { ratio: 100 });
    await expectClose(updateDelta(whole.update, delta.shape), delta.data);
    expect(whole.update.down.shape[0]).toBe(25);
  });
});

describe('cutting off at a quantile', () => {
  it('is worked out by hand', () => {
    const up = { shape: [2, 1], data: Float32Array.of(-9, 1) };
    const down = { shape: [1, 3], data: Float32Array.of(2, 3, 4) };
    // Sorted -9, 1, 2, 3, 4: three quarters of the way is 3.
    clampToQuantile(0.75, { up, down });
    expect([...up.data, ...down.data]).toEqual([-3, 1, 2, 3, 3]);
  });

  it('is an option, with the singular values in the first factor', () => {
    const delta = known(6, 7, [8, 4, 2]);
    const cut = lowRankUpdate(delta, { rank: 3 }, { clampQuantile: 0.9 }).update;
    const all = [...cut.up.data, ...cut.down.data];
    const most = Math.max(...all.map(Math.abs));
    // Of 39 values those above position 34.2 are cut, four of them, and those below minus it.
    expect(all.filter((value) => value === most).length).toBeGreaterThanOrEqual(4);
    const [first] = cut.down.data;
    expect([cut.up.shape, cut.down.shape, Math.abs(first) <= 1]).toEqual([[6, 3], [3, 7], true]);
    expect(() => lowRankUpdate(delta, { rank: 3 }, { clampQuantile: 0 })).toThrow(
      'lora: factors are cut off at a quantile in (0, 1]; got 0; give one, such as 0.99',
    );
  });
});

describe('the configuration of layers', () => {
  const layers = new Map<string, LayerUpdate>([
    ['a.conv', lora(2, 4)],
    ['conv', lora(3, 4)],
    ['b.to_q', lora(2, 1)],
    ['c.to_q', lora(2, 4)],
  ]);

  it('gives each layer its own rank and alpha', () => {
    const config = configOf({ layers, whole: new Map(), rsLora: false });
    expect(config).toMatchObject({ rank: 2, alpha: 4, targets: [...layers.keys()] });
    for (const [path, update] of layers) {
      const { down, alpha } = update as LoraUpdate;
      expect([path, rankAndAlpha(config, path)]).toEqual([path, { rank: down.shape[0], alpha }]);
    }
  });

  it('keeps what else was said, and names layers trained whole', () => {
    const old = loraConfig({ targets: '.*', dropout: 0.25, rankPattern: { x: 9 }, init: 'pissa' });
    const config = configOf({ layers, whole: new Map([['conv_in.weight', of([1], 1)]]), rsLora: true }, old);
    expect(config).toMatchObject({ targets: '.*', dropout: 0.25, modulesToSave: ['conv_in'], rsLora: true });
    expect(config.rankPattern).toEqual({ '^conv': 3 });
    expect(config.init).toBeUndefined();
  });

  it('goes along with a resized and a converted adapter', () => {
    const config = loraConfig({ targets: ['conv', 'to_q'], rank: 2, alpha: 4, rankPattern: { conv: 3 } });
    const state: AdapterState = { config, rsLora: false, layers, whole: new Map() };
    const diff: AdapterState = {
      ...state,
      layers: new Map([['a.conv', { kind: 'diff', weight: known(6, 7, [2, 1]) }]]),
    };
    for (const { state: made } of [resizeAdapter(state, { rank: 1 }), convertToLora(diff, { frobenius: 1 })]) {
      for (const [path, update] of made.layers) {
        const { down, alpha } = update as LoraUpdate;
        expect(rankAndAlpha(made.config!, path)).toEqual({ rank: down.shape[0], alpha });
      }
    }
  });
});

describe('scales', () => {
  it('may be negative or zero', async () => {
    for (const alpha of [-3, 0]) {
      const state: AdapterState = { rsLora: false, layers: new Map([['a', lora(2, alpha)]]), whole: new Map() };
      const before = updateDelta(lora(2, alpha), [5, 6]);
      const combined = combineAdapters([state, state], { method: 'svd', weights: [2, -1] });
      for (const { layers } of [resizeAdapter(state, { rank: 2 }).state, combined]) {
        const [after] = [...layers.values()];
        await expectClose(updateDelta(after, [5, 6]), before, { relative: 1e-5 });
      }
    }
  });
});

describe('converting', () => {
  const g = loadGolden('lora/converted');

  it.each(Object.entries(g.config as Record<string, number>))("is peft's: %s", async (name, rank) => {
    const [kind, asked] = name.split('/');
    const state: AdapterState = {
      rsLora: false,
      layers: new Map([['lin', otherUpdate(g, `a/${kind}/lin`, 3)]]),
      whole: new Map(),
    };
    // peft's share is one of the squares.
    const rule = asked === '2' ? { rank: 2 } : { frobenius: Math.sqrt(Number(asked)) };
    const update = convertToLora(state, rule).state.layers.get('lin') as LoraUpdate;
    const expected = host(g, `delta/${name}`);
    expect(update.down.shape[0]).toBe(rank);
    await expectClose(updateDelta(update, expected.shape), expected.data);
  });

  it('leaves differences of a single axis as they are', () => {
    const norm: LayerUpdate = { kind: 'diff', weight: of([6], 1) };
    const state: AdapterState = { rsLora: false, layers: new Map([['norm', norm]]), whole: new Map() };
    const { state: plain, report } = convertToLora(state, { rank: 2 });
    expect(plain.layers.get('norm')).toBe(norm);
    expect(report).toEqual([]);
  });

  it('knows the shapes that cores and Kronecker factors tell, with either scale', async () => {
    const core = (seed: number) => ({ a: of([2, 6], seed), b: of([2, 5], seed + 1), t: of([2, 2, 3, 3], seed + 2) });
    const made: [LayerUpdate, number[]][] = [
      [{ kind: 'loha', w1: core(1), w2: core(4), alpha: 3 }, [6, 5, 3, 3]],
      [{ kind: 'lokr', w1: of([3, 2], 1), w2: of([2, 4, 3, 3], 2), alpha: 3 }, [6, 8, 3, 3]],
      [{ kind: 'lokr', w1: { a: of([3, 1], 1), b: of([1, 2], 2) }, w2: core(3), alpha: 3 }, [18, 10, 3, 3]],
      [
        { kind: 'lora', up: of([6, 2, 1, 1], 1), mid: of([2, 2, 3, 3], 2), down: of([2, 5, 1, 1], 3), alpha: 3 },
        [6, 5, 3, 3],
      ],
    ];
    for (const rsLora of [false, true]) {
      const state: AdapterState = {
        rsLora,
        layers: new Map(made.map(([update], i) => [`${i}`, update])),
        whole: new Map(),
      };
      const { state: plain } = convertToLora(state, { frobenius: 1 });
      for (const [i, [update, shape]] of made.entries()) {
        const converted = plain.layers.get(`${i}`) as LoraUpdate;
        expect(converted.down.shape.slice(1)).toEqual(shape.slice(1));
        await expectClose(updateDelta(converted, shape, rsLora), updateDelta(update, shape, rsLora), {
          relative: 1e-5,
        });
      }
    }
  });
});
