import { expectClose, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import type { HostTensor } from '../state.ts';
import { scaleOf, updateDelta, updatedWeight } from './delta.ts';
import type { DoraRule } from './dora.ts';
import { host, otherUpdate } from './golden.test-support.ts';

const of = (shape: number[], ...values: number[]): HostTensor => ({ shape, data: Float32Array.from(values) });

const others = loadGolden('lora/other-products');
const cases = Object.entries(others.config as Record<string, { layers: string[]; alpha: number }>).flatMap(
  ([name, { layers, alpha }]) => layers.map((layer) => [name, layer, alpha] as const),
);

describe('what an update adds', () => {
  it.each(cases)("is peft's: %s on %s", async (name, layer, alpha) => {
    const update = otherUpdate(others, `a/${name}/${layer}`, alpha);
    const expected = host(others, `delta/${name}/${layer}`);
    // Without a product there is no rank to divide by: LyCORIS does not scale then, peft takes the rank of its configuration, 2.
    const isWhole = update.kind === 'lokr' && 'data' in update.w1 && 'data' in update.w2;
    const factor = isWhole ? alpha / 2 : 1;
    await expectClose(
      updateDelta(update, expected.shape).map((value) => value * factor),
      expected.data,
    );
  });

  it('is what one works out by hand', () => {
    // up [2, 1] down [1, 3], alpha 3 at rank 1.
    const lora = { kind: 'lora', down: of([1, 3], 1, 2, 0), up: of([2, 1], 1, -1), alpha: 3 } as const;
    expect([...updateDelta(lora, [2, 3])]).toEqual([3, 6, 0, -3, -6, 0]);
    expect([...updateDelta({ ...lora, embedding: true }, [3, 2])]).toEqual([3, -3, 6, -6, 0, 0]);
    // A 1 x 1 down, a core of 1 x 2 places, and an up: out[o, i, place] = up[o] core[place] down[i].
    const tucker = {
      ...lora,
      down: of([1, 2, 1, 1], 1, 10),
      mid: of([1, 1, 1, 2], 1, 2),
      up: of([2, 1, 1, 1], 1, 3),
      alpha: 1,
    };
    expect([...updateDelta(tucker, [2, 2, 1, 2])]).toEqual([1, 2, 10, 20, 3, 6, 30, 60]);
    expect([...updateDelta({ kind: 'diff', weight: of([1, 2], 5, 6) }, [1, 2])]).toEqual([5, 6]);
    const loha = {
      kind: 'loha',
      w1: { a: of([1, 1], 2), b: of([1, 2], 3, 4) },
      w2: { a: of([1, 1], 5), b: of([1, 2], 1, 2) },
      alpha: 2,
    } as const;
    expect([...updateDelta(loha, [1, 2])]).toEqual([2 * 6 * 5, 2 * 8 * 10]);
    const lokr = { kind: 'lokr', w1: of([1, 2], 1, 10), w2: of([2, 1], 3, 4), alpha: 7 } as const;
    expect([...updateDelta(lokr, [2, 2])]).toEqual([3, 30, 4, 40]);
  });

  it('leaves the factors as they are', () => {
    const lora = { kind: 'lora', down: of([1, 2], 1, 2), up: of([1, 1], 2), alpha: 2 } as const;
    const diff = { kind: 'diff', weight: of([1, 2], 1, 2) } as const;
    updateDelta(lora, [1, 2])[0] = 9;
    updateDelta(diff, [1, 2])[0] = 9;
    expect([...lora.down.data, ...lora.up.data, ...diff.weight.data]).toEqual([1, 2, 2, 1, 2]);
  });

  it('is scaled by alpha over the rank, or its root', () => {
    const lora = { kind: 'lora', down: of([4, 1], 1, 1, 1, 1), up: of([1, 4], 1, 1, 1, 1), alpha: 8 } as const;
    expect(scaleOf(lora)).toBe(2);
    expect(scaleOf(lora, true)).toBe(4);
    expect(updateDelta(lora, [1, 1], true)[0]).toBe(16);
  });

  it("has DoRA's lengths, by row or for an embedding by column", () => {
    const zero = {
      kind: 'lora',
      down: of([1, 2], 0, 0),
      up: of([2, 1], 0, 0),
      alpha: 1,
      magnitude: of([2], 10, 26),
    } as const;
    expect([...updatedWeight(zero, of([2, 2], 3, 4, 5, 12))]).toEqual([6, 8, 10, 24]);
    const table = updatedWeight({ ...zero, embedding: true }, of([2, 2], 3, 5, 4, 12));
    expect([...table]).toEqual([6, 10, 8, 24]);
  });

  it("has LyCORIS' lengths of the inputs, over all that they go to", () => {
    const zero = {
      kind: 'lora',
      down: of([1, 2, 1, 2], 0, 0, 0, 0),
      up: of([2, 1, 1, 1], 0, 0),
      alpha: 1,
      magnitude: of([1, 2, 1, 1], 20, 5),
      magnitudeAxis: 'inputs',
    } as const;
    // [O, I, 1, 2]: the first input has 1, 1, 7, 7 of length 10, the second 3, 0, 0, 4 of length 5.
    const weight = of([2, 2, 1, 2], 1, 1, 3, 0, 7, 7, 0, 4);
    expect([...updatedWeight(zero, weight)]).toEqual([2, 2, 3, 0, 14, 14, 0, 4]);
    expect(() => updatedWeight({ ...zero, magnitude: of([3], 1, 1, 1) }, weight)).toThrow(
      'lora: DoRA has a length for each of 2 inputs; got [3]; the adapter is of another model, or damaged',
    );
  });

  it('goes as far as it is told', () => {
    const lora = { kind: 'lora', down: of([1, 2], 1, 2), up: of([1, 1], 1), alpha: 1 } as const;
    expect([...updatedWeight(lora, of([1, 2], 1, 1), false, 0.5)]).toEqual([1.5, 2]);
  });

  it('with lengths goes as far by the rule that is chosen, and nowhere at 0', async () => {
    // W = (3, 4) of length 5 and d = (2, 8), so that W + d = (5, 12) has length 13, W + d / 2 = (4, 8) length sqrt(80); m = 26.
    const lora = {
      kind: 'lora',
      down: of([1, 2], 1, 4),
      up: of([1, 1], 2),
      alpha: 1,
      magnitude: of([1], 26),
    } as const;
    const weight = of([1, 2], 3, 4);
    const at = (strength: number, dora: DoraRule) => updatedWeight(lora, weight, false, strength, { dora });
    const root = Math.sqrt(80);
    const half: [DoraRule, number[]][] = [
      ['peft', [(26 / root) * 4, (26 / root) * 8]],
      // 1 + (26 / 13 - 1) / 2 = 1.5
      ['lycoris', [7.5, 18]],
      // W + (26 / 5 (W + d) - W) / 2
      ['comfyui', [3 + (26 - 3) / 2, 4 + (62.4 - 4) / 2]],
    ];
    for (const [rule, expected] of half) {
      await expectClose(at(0.5, rule), expected, { relative: 1e-6, label: rule });
      expect([...at(0, rule)], rule).toEqual([3, 4]);
    }
    expect([...at(1, 'peft')]).toEqual([10, 24]);
    expect([...at(1, 'lycoris')]).toEqual([10, 24]);
    await expectClose(at(1, 'comfyui'), [26, 62.4], { relative: 1e-6 });
    // Of the inputs, whose lengths are those of each column, (3) and (4), or (5) and (12).
    const inputs = { ...lora, magnitude: of([1, 2], 10, 24), magnitudeAxis: 'inputs' } as const;
    const halfOf = (dora: DoraRule) => [...updatedWeight(inputs, weight, false, 0.5, { dora })];
    expect(halfOf('comfyui')).toEqual([3 + (10 - 3) / 2, 4 + (24 - 4) / 2]);
    expect(halfOf('lycoris')).toEqual([7.5, 18]);
    expect(halfOf('peft')).toEqual([10, 24]);
    expect(() => at(1, 'kohya' as DoraRule)).toThrow(
      'lora: DoRA is scaled by the rule of peft, lycoris, comfyui; got "kohya"; choose one',
    );
  });

  it('fits, or says what does not', () => {
    const lora = { kind: 'lora', down: of([1, 3], 1, 2, 0), up: of([2, 1], 1, -1), alpha: 3 } as const;
    const damaged = 'the adapter is of another model, or damaged';
    expect(() => updateDelta(lora, [3, 3])).toThrow(
      `lora: an update has its weight's size, [3, 3]; got lora [2, 3]; ${damaged}`,
    );
    expect(() => updateDelta(lora, [3, 2])).toThrow("lora: an update has its weight's size, [3, 2]; got lora [2, 3]");
    expect(() => updateDelta({ ...lora, up: of([1, 2], 1, 1) }, [1, 3])).toThrow(
      `lora: factors have the same rank; got [1, 2] and [1, 3]; ${damaged}`,
    );
    expect(() => updatedWeight({ ...lora, magnitude: of([3], 1, 1, 1) }, of([2, 3], 1, 1, 1, 1, 1, 1))).toThrow(
      `lora: DoRA has a length for each of 2 outputs; got [3]; ${damaged}`,
    );
  });
});
