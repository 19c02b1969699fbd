import { expectClose, loadGolden, randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { loraConfig } from '../config.ts';
import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from '../state.ts';
import { COMBINE_METHODS, type CombineMethod, type CombineOptions, combineAdapters } from './combine.ts';
import { exactSvd, type Svd, thinQr } from './decompositions.ts';
import { updateDelta } from './delta.ts';
import { host } from './golden.test-support.ts';
import { type Matrix, matrixOf, multiply, scaleColumns, transpose } from './matrix.ts';
import { pruneAtRandom } from './prune.ts';
import { convertToLora, resizeAdapter } from './resize.ts';
import { oloraStart, orthogonalStart, pissaStart } from './starts.ts';
import { productSvd, truncatedSvd } from './svd.ts';

const random = (seed: number, ...shape: number[]): HostTensor => ({
  shape,
  data: randomValues(
    shape.reduce((a, b) => a * b, 1),
    { seed },
  ),
});

const lora = (seed: number, rank: number, shape: number[], alpha = 1): LoraUpdate => ({
  kind: 'lora',
  down: random(seed, rank, ...shape.slice(1)),
  up: random(seed + 1, shape[0], rank, ...shape.slice(2).map(() => 1)),
  alpha,
});

const state = (layers: Record<string, LayerUpdate>, rsLora = false): AdapterState => ({
  rsLora,
  layers: new Map(Object.entries(layers)),
  whole: new Map(),
});

const product = ({ u, s, v }: Svd): Matrix => multiply(scaleColumns(u, s), transpose(v));

describe('decompositions', () => {
  it('multiply to what they are of', async () => {
    const a = matrixOf(6, randomValues(54, { seed: 3 }));
    await expectClose(product(exactSvd(a)).data, a.data, { relative: 1e-12 });
    const { q, r } = thinQr(transpose(a));
    await expectClose(multiply(q, r).data, transpose(a).data, { relative: 1e-12 });
  });

  it('of a product are exact without the product', async () => {
    const [up, down] = [matrixOf(9, randomValues(27, { seed: 5 })), matrixOf(3, randomValues(21, { seed: 6 }))];
    const whole = multiply(up, down);
    await expectClose(product(productSvd(up, down)).data, whole.data, { relative: 1e-12 });
    await expectClose(productSvd(up, down).s, exactSvd(whole).s.slice(0, 3), { relative: 1e-12 });
    const wide = [matrixOf(2, randomValues(10, { seed: 7 })), matrixOf(5, randomValues(20, { seed: 8 }))] as const;
    await expectClose(product(productSvd(...wide)).data, multiply(...wide).data, { relative: 1e-12 });
  });

  it('have a rank that the matrix has', () => {
    const a = matrixOf(4, randomValues(20));
    expect(() => truncatedSvd(a, 5)).toThrow('lora: a decomposition has a rank from 1 to 4; got 5 for 4 x 5; lower it');
  });
});

describe('starts', () => {
  const g = loadGolden('lora/starts');
  const weight = host(g, 'weight');

  it.each([
    ['pissa', () => pissaStart(weight, 3, 2)],
    ['olora', () => oloraStart(weight, 3, 2)],
  ] as const)("are peft's: %s", async (name, start) => {
    const { down, up, residual } = start();
    const delta = updateDelta({ kind: 'lora', down, up, alpha: 6 }, weight.shape);
    await expectClose(delta, host(g, `${name}/product`).data);
    await expectClose(residual.data, host(g, `${name}/residual`).data);
  });

  it('with their weight are the weight that was, convolutions too', async () => {
    const conv = random(4, 6, 5, 3, 3);
    for (const { down, up, residual } of [pissaStart(conv, 4, 1.5), oloraStart(conv, 4, 1.5)]) {
      expect([down.shape, up.shape]).toEqual([[4, 5, 3, 3], [6, 4, 1, 1]]); // biome-ignore format: two shapes
      const delta = updateDelta({ kind: 'lora', down, up, alpha: 6 }, conv.shape);
      await expectClose(
        delta.map((value, i) => value + residual.data[i]),
        conv.data,
        { relative: 1e-6 },
      );
    }
  });

  it('are orthogonal: neither factor is zero, their product is', async () => {
    const { down, up } = orthogonalStart([6, 5, 3, 3], 4, 1, 'a.conv');
    const size = Math.max(...down.data.map(Math.abs)) * Math.max(...up.data.map(Math.abs));
    expect(size).toBeGreaterThan(0.01);
    const delta = updateDelta({ kind: 'lora', down, up, alpha: 4 }, [6, 5, 3, 3]);
    expect(Math.max(...delta.map(Math.abs))).toBeLessThan(size * 1e-5);
    expect(() => orthogonalStart([4, 4], 3, 1, 'a.to_q')).toThrow(
      'lora: a.to_q: an orthogonal start takes an even rank; got 3; choose 4',
    );
    expect(() => pissaStart(weight, 11, 1)).toThrow(
      "lora: PiSSA takes a rank up to the weight's smaller side, 10; got 11; lower it by rankPattern",
    );
  });
});

describe('combinations', () => {
  const g = loadGolden('lora/combine');
  const layers = ['lin', 'conv', 'small', 'words'];
  const golden = (name: string, alpha: number, rsLora: boolean): AdapterState => {
    const having = layers.filter((layer) => g.has(`a/${name}/${layer}/down`));
    const update = (layer: string): LoraUpdate => ({
      kind: 'lora',
      down: host(g, `a/${name}/${layer}/down`),
      up: host(g, `a/${name}/${layer}/up`),
      alpha,
      ...(layer === 'words' && { embedding: true }),
    });
    return state(Object.fromEntries(having.map((layer) => [layer, update(layer)])), rsLora);
  };
  const adapters = [golden('a', 6, false), golden('b', 3, false), golden('c', 2, true)];
  const combinations: Record<string, Record<string, never>> = g.config.combinations;

  it.each(Object.entries(combinations))("are peft's: %s", async (name, options) => {
    const combined = combineAdapters(adapters, {
      method: options.combination_type as CombineMethod,
      weights: g.config.weights,
      density: options.density,
      majoritySign: options.majority_sign_method,
      svdRank: options.svd_rank,
      svdClamp: options.svd_clamp,
    } as CombineOptions);
    expect([...combined.layers.keys()].sort()).toEqual([...layers].sort());
    for (const layer of layers) {
      const expected = host(g, `delta/${name}/${layer}`);
      await expectClose(updateDelta(combined.layers.get(layer) as LoraUpdate, expected.shape), expected.data, {
        label: layer,
      });
      if (!g.has(`out/${name}/${layer}/down`)) continue;
      const { down, up } = combined.layers.get(layer) as LoraUpdate;
      await expectClose(down.data, host(g, `out/${name}/${layer}/down`).data, { label: `${layer} down` });
      await expectClose(up.data, host(g, `out/${name}/${layer}/up`).data, { label: `${layer} up` });
    }
  });

  it('one after the other, and by SVD at full rank, are the sum', async () => {
    const [first, second] = [
      state({ a: lora(1, 2, [6, 5], 3) }),
      state({ a: lora(5, 3, [6, 5], 2), b: lora(9, 1, [4, 4]) }),
    ];
    const sum = (path: string, shape: number[]): Float32Array => {
      const [x, y] = [first, second].map((each) => each.layers.get(path));
      const zero = new Float32Array(shape[0] * shape[1]);
      const [dx, dy] = [x, y].map((update) => (update === undefined ? zero : updateDelta(update, shape)));
      return dx.map((value, i) => 2 * value - dy[i]);
    };
    for (const options of [{ method: 'cat' }, { method: 'svd', svdRank: 5 }] as const) {
      const combined = combineAdapters([first, second], { ...options, weights: [2, -1] });
      for (const [path, shape] of [
        ['a', [6, 5]],
        ['b', [4, 4]],
      ] as const) {
        // biome-ignore format: two layers
        const delta = updateDelta(combined.layers.get(path) as LayerUpdate, shape);
        await expectClose(delta, sum(path, [...shape]), { relative: 1e-5, label: `${options.method} ${path}` });
      }
    }
  });

  it('have a configuration that fits each layer', () => {
    const config = loraConfig({ targets: 'a|b', rank: 2, alpha: 9, dropout: 0.5, rsLora: true, init: 'gaussian' });
    const [first, second] = [
      { ...state({ a: lora(1, 2, [6, 5]), b: lora(3, 2, [4, 4]) }, true), config },
      state({ b: lora(5, 3, [4, 4]), c: lora(7, 2, [4, 4]) }),
    ];
    const { config: made } = combineAdapters([first, second], { method: 'cat' });
    expect(made).toEqual({
      ...loraConfig({ targets: ['a', 'b', 'c'], rank: 2, alpha: 2, dropout: 0.5 }),
      rankPattern: { '^b': 5 },
      alphaPattern: { '^b': 5 },
    });
    expect(combineAdapters([second], { method: 'cat' }).config).toBeUndefined();
  });

  it('drop at random what DARE drops, and keep the mean', () => {
    const values = new Float32Array(200_000).fill(1);
    const kept = pruneAtRandom(values, 0.3, 7, 'a');
    const mean = kept.reduce((a, b) => a + b, 0) / kept.length;
    expect(new Set(kept)).toEqual(new Set([0, Math.fround(1 / 0.3)]));
    // Five standard deviations of the mean of so many draws.
    expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(0.7 / 0.3 / kept.length));
    expect(pruneAtRandom(values, 0.3, 7, 'a')).toEqual(kept);
    expect(pruneAtRandom(values, 0.3, 8, 'a')).not.toEqual(kept);
    const run = (seed: number) =>
      combineAdapters([state({ a: lora(1, 2, [6, 5]) })], { method: 'dare_linear', density: 0.5, seed });
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });

  it('cut factors off at a quantile', () => {
    const { layers: made } = combineAdapters([state({ a: lora(1, 2, [6, 5]) })], { method: 'svd', svdClamp: 0.8 });
    const { down, up } = made.get('a') as LoraUpdate;
    const all = [...down.data, ...up.data];
    const top = Math.max(...all);
    // Of 22 values a fifth, and the smallest below minus the bound.
    expect(all.filter((value) => value === top).length).toBe(5);
    expect(Math.min(...all)).toBeGreaterThanOrEqual(-top);
  });

  it('say what cannot be combined', () => {
    const a = state({ a: lora(1, 2, [6, 5]) });
    const run = (states: AdapterState[], options: Partial<CombineOptions>) => () =>
      combineAdapters(states, { method: 'linear', ...options } as CombineOptions);
    expect(run([a], { method: 'tis' as CombineMethod })).toThrow(
      `lora: adapters are combined by ${COMBINE_METHODS.join(', ')}; got "tis"; closest: ties`,
    );
    expect(run([a], { weights: [1, 2] })).toThrow(
      'lora: each adapter that is combined has a finite weight; got 1 adapters and weights [1,2]; give one each',
    );
    expect(run([a], { method: 'ties' })).toThrow(
      'lora: ties keeps a density in (0, 1]; got undefined; give one, such as 0.5',
    );
    expect(run([a], { density: 0.5 })).toThrow('lora: linear has no density; got 0.5; leave it out');
    expect(run([a, state({ a: lora(1, 3, [6, 5]) })], {})).toThrow(
      'lora: a: linear takes adapters of one rank; got 2, 3; use cat or svd',
    );
    expect(run([state({ a: { kind: 'diff', weight: random(1, 6, 5) } })], {})).toThrow(
      'lora: a: plain LoRA layers are combined; got diff; merge it into the model, or convertToLora first',
    );
    expect(run([a], { svdRank: 2 })).toThrow(
      'lora: linear has no svdRank; got 2; leave it out, or choose another method',
    );
    expect(run([a], { method: 'svd', majoritySign: 'total' })).toThrow('lora: svd has no majoritySign; got total');
    expect(run([a], { method: 'svd', svdRank: 0 })).toThrow(
      'lora: svdRank is a whole number from 1 on; got 0; give one, or leave it out',
    );
    expect(run([a], { method: 'svd', svdClamp: 2 })).toThrow(
      'lora: factors are cut off at a quantile in (0, 1]; got 2; give one, such as 0.99',
    );
    expect(run([a, state({ a: lora(1, 2, [5, 6]) })], { method: 'cat' })).toThrow(
      'lora: a: adapters that are combined are of one model; got layer [6, 5] and layer [5, 6]; combine those that are',
    );
    const table = state({ a: { ...lora(1, 2, [5, 6]), embedding: true } });
    expect(run([a, table], { method: 'svd' })).toThrow('got layer [6, 5] and embedding [6, 5]');
    const whole = { ...a, whole: new Map([['w', random(1, 2)]]) };
    expect(run([whole, whole], {})).toThrow(
      'lora: adapters that are combined share no tensor trained whole; got w twice; leave it out of all but one',
    );
    expect(run([whole, a], {})().whole.get('w')).toBe(whole.whole.get('w'));
  });
});

describe('resizing', () => {
  const shapes = { lin: [8, 7], conv: [6, 4, 3, 3] };
  const adapter = state({ lin: lora(1, 4, shapes.lin, 3), conv: lora(5, 4, shapes.conv, 2) });
  const delta = (s: AdapterState, path: keyof typeof shapes) =>
    updateDelta(s.layers.get(path) as LayerUpdate, shapes[path], s.rsLora);

  it('at full rank is the identity', async () => {
    for (const rsLora of [false, true]) {
      const before = { ...adapter, rsLora };
      for (const rule of [{ rank: 4 }, { ratio: 1e9 }, { frobenius: 1 }, { cumulative: 1 }]) {
        const { state: after, report } = resizeAdapter(before, rule);
        for (const path of ['lin', 'conv'] as const)
          await expectClose(delta(after, path), delta(before, path), { relative: 1e-5 });
        expect(report.map(({ after: rank }) => rank)).toEqual([4, 4]);
      }
    }
  });

  it('keeps what its rule promises, and no more', () => {
    const up = random(1, 8, 4);
    const values = [8, 4, 2, 1];
    const [left, right] = [thinQr(matrixOf(8, up.data)).q, thinQr(matrixOf(7, random(2, 7, 4).data)).q];
    const known: LoraUpdate = {
      kind: 'lora',
      up: { shape: [8, 4], data: Float32Array.from(scaleColumns(left, values).data) },
      down: { shape: [4, 7], data: Float32Array.from(transpose(right).data) },
      alpha: 4,
    };
    const ranks = (rule: Parameters<typeof resizeAdapter>[1]) => resizeAdapter(state({ a: known }), rule).report[0];
    expect(ranks({ ratio: 3 })).toMatchObject({ before: 4, after: 2 });
    expect(ranks({ ratio: 1 }).after).toBe(1);
    // 12 of 15, 14 of 15.
    expect(ranks({ cumulative: 0.79 }).after).toBe(2);
    expect(ranks({ cumulative: 0.81 }).after).toBe(3);
    // sqrt(80 / 85) = 0.970.
    expect(ranks({ frobenius: 0.969 }).after).toBe(2);
    expect(ranks({ frobenius: 0.971 }).after).toBe(3);
    expect(ranks({ rank: 2 }).kept).toBeCloseTo(Math.sqrt(80 / 85), 6);
  });

  it('has limits, others for convolutions', () => {
    const ranks = (options: Parameters<typeof resizeAdapter>[2]) =>
      resizeAdapter(adapter, { frobenius: 1 }, options).report.map(({ after }) => after);
    expect(ranks({ maxRank: 3 })).toEqual([3, 3]);
    expect(ranks({ maxRank: 3, maxConvRank: 1 })).toEqual([3, 1]);
  });

  it('makes plain LoRA of other products', async () => {
    const loha: LayerUpdate = {
      kind: 'loha',
      w1: { a: random(1, 6, 2), b: random(2, 2, 5) },
      w2: { a: random(3, 6, 2), b: random(4, 2, 5) },
      alpha: 1,
    };
    const { state: plain, report } = convertToLora(state({ a: loha, b: lora(1, 2, [4, 4]) }), { rank: 4 });
    // Elementwise products of rank 2 have rank 4 at most.
    await expectClose(updateDelta(plain.layers.get('a') as LayerUpdate, [6, 5]), updateDelta(loha, [6, 5]), {
      relative: 1e-5,
    });
    expect(report).toEqual([{ path: 'a', before: 5, after: 4, kept: expect.closeTo(1, 6) }]);
    const conv: LayerUpdate = {
      ...loha,
      w1: { a: random(1, 6, 2), b: random(2, 2, 12) },
      w2: { a: random(3, 6, 2), b: random(4, 2, 12) },
    };
    const shaped = convertToLora(state({ a: conv }), { frobenius: 0.9 }, { shapes: new Map([['a', [6, 3, 2, 2]]]) });
    expect((shaped.state.layers.get('a') as LoraUpdate).down.shape.slice(1)).toEqual([3, 2, 2]);
    expect(shaped.report[0].kept).toBeGreaterThanOrEqual(0.9);
  });

  it('says what a rule is', () => {
    expect(() => resizeAdapter(adapter, { ratio: 0.5 })).toThrow(
      'lora: a rank is kept by { rank: 1, 2, ... }, { ratio: 1 or more }, { frobenius: (0, 1] } or { cumulative: (0, 1] }; got {"ratio":0.5}; give one of them',
    );
    const two = { rank: 1, ratio: 2 };
    expect(() => resizeAdapter(adapter, two)).toThrow('got {"rank":1,"ratio":2}; give one of them');
    expect(() => resizeAdapter(adapter, { rank: 1 }, { maxConvRank: 0 })).toThrow(
      'lora: maxConvRank is a whole number from 1 on; got 0; give one, or leave it out',
    );
    const loha = state({ a: { kind: 'diff', weight: random(1, 2, 2) } });
    expect(() => resizeAdapter(loha, { rank: 1 })).toThrow(
      'lora: a: plain LoRA layers are resized; got diff; convertToLora first',
    );
  });
});
