import { expectClose, loadGolden } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeInMemory, planInMemory, type TestModel } from '../models.test-support.ts';
import type { MergeInputs } from './method.ts';
import { type DareParameters, dareLinear, dareTies } from './task-arithmetic.ts';

const golden = loadGolden('merge/methods');
const recipes = golden.config.recipes as Record<string, string>;
const RELATIVE = 1e-5;

function modelOf(name: string): TestModel {
  return Object.fromEntries(
    golden.names(`in/${name}/`).map((key) => {
      const { shape, values } = golden.raw(`in/${name}/${key}`);
      return [key, { shape, values }];
    }),
  );
}

const models = Object.fromEntries(['base', 'a', 'b', 'c'].map((name) => [name, modelOf(name)]));
const expected = (name: string): string[] => golden.names(`out/${name}/`);

describe('as mergekit does', () => {
  const plain = Object.keys(recipes).filter((name) => !name.startsWith('dare'));
  expect(plain.length).toBeGreaterThan(20);

  it.each(plain)('%s', async (name) => {
    const merged = await mergeInMemory(recipes[name], models);
    expect(expected(name).length).toBeGreaterThan(3);
    for (const key of expected(name)) {
      const { shape, values } = golden.raw(`out/${name}/${key}`);
      expect(merged.info(key)).toEqual({ dtype: 'F32', shape });
      await expectClose(await readFloat32(merged, key), values, { relative: RELATIVE, label: key });
    }
  });
});

describe('as mergekit does with the same values drawn', () => {
  const random = Object.keys(recipes).filter((name) => name.startsWith('dare'));
  expect(random.length).toBe(3);

  it.each(random)('%s', async (name) => {
    const plan = await planInMemory(recipes[name], models);
    const { method, parameters } = plan.output;
    for (const key of expected(name)) {
      const { shape, values } = golden.raw(`out/${name}/${key}`);
      const count = golden.names(`mask/${name}/`).filter((each) => each.endsWith(`/${key}`)).length;
      const tensors = ['a', 'b', 'c'].slice(0, count).map((model) => Float32Array.from(models[model][key].values));
      const inputs: MergeInputs = { name: key, shape, base: Float32Array.from(models.base[key].values), tensors };
      // A number below every density keeps a value, 1 drops it.
      const drawn = (model: number) => {
        const { values: mask } = golden.raw(`mask/${name}/${model}/${key}`);
        let i = 0;
        return () => 1 - mask[i++];
      };
      const merge = method.name === 'dare_ties' ? dareTies : dareLinear;
      const chosen = parameters.get(key) as unknown as DareParameters;
      const out = merge(inputs, chosen, new Float32Array(values.length), drawn);
      await expectClose(out, values, { relative: RELATIVE, label: key });
    }
    await plan.close();
  });
});
