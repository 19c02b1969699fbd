import { readFloat32 } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeInMemory, planInMemory, type TestModel } from '../models.test-support.ts';

/** One value for each tensor. */
const flat = (value: number, keys: readonly string[] = KEYS): TestModel =>
  Object.fromEntries(keys.map((key) => [key, { shape: [2, 2], values: [value, value, value, value] }]));

const KEYS = [
  'conv_in.weight',
  'down_blocks.0.resnets.0.conv1.weight',
  'down_blocks.0.resnets.0.norm1.weight',
  'mid_block.attentions.0.to_q.weight',
  'up_blocks.0.resnets.0.conv1.weight',
  'up_blocks.1.resnets.0.conv1.weight',
  'conv_out.weight',
];

const models = { zero: flat(0), one: flat(1), two: flat(2), three: flat(3) };

async function valuesOf(
  recipe: string,
  given: Readonly<Record<string, TestModel>> = models,
): Promise<Record<string, number>> {
  const merged = await mergeInMemory(recipe, given);
  const entries = await Promise.all(merged.keys().map(async (key) => [key, (await readFloat32(merged, key))[0]]));
  return Object.fromEntries(entries);
}

const mix = (weight: string) => `
merge_method: linear
models:
  - {model: zero, parameters: {weight: 1}}
  - {model: one, parameters: {weight: ${weight}}}
parameters: {normalize: false}
`;

describe('parameters', () => {
  it('of a gradient go over the depth', async () => {
    expect(await valuesOf(mix('[0, 4]'))).toEqual({
      'conv_in.weight': 0,
      'down_blocks.0.resnets.0.conv1.weight': 0,
      'down_blocks.0.resnets.0.norm1.weight': 0,
      'mid_block.attentions.0.to_q.weight': expect.closeTo(4 / 3, 5),
      'up_blocks.0.resnets.0.conv1.weight': expect.closeTo(8 / 3, 5),
      'up_blocks.1.resnets.0.conv1.weight': 4,
      'conv_out.weight': 4,
    });
    const three = await valuesOf(mix('[0, 3, 0]'));
    expect(three['mid_block.attentions.0.to_q.weight']).toBeCloseTo(2, 5);
    expect(three['conv_out.weight']).toBe(0);
  });

  it('are chosen by filter and by block, the first that fits', async () => {
    const values = await valuesOf(
      mix(
        '[{filter: norm, value: 5}, {block: down_blocks.0, value: 6}, {block: up_blocks.1, value: [7, 8]}, {filter: "*", value: 9}]',
      ),
    );
    expect(values).toEqual({
      'conv_in.weight': 9,
      'conv_out.weight': 9,
      'down_blocks.0.resnets.0.conv1.weight': 6,
      'down_blocks.0.resnets.0.norm1.weight': 5,
      'mid_block.attentions.0.to_q.weight': 9,
      'up_blocks.0.resnets.0.conv1.weight': 9,
      'up_blocks.1.resnets.0.conv1.weight': 8,
    });
  });

  it("of a model come before the recipe's, which come before the method's", async () => {
    const recipe = `
merge_method: linear
models:
  - {model: one, parameters: {weight: [{filter: conv_in, value: 3}]}}
  - {model: two}
parameters: {weight: 10, normalize: false}
`;
    const values = await valuesOf(recipe);
    expect(values['conv_in.weight']).toBe(23);
    expect(values['conv_out.weight']).toBe(30);
  });
});

describe('stages', () => {
  const twice = (second: string) => `
name: half
merge_method: linear
models: [{model: zero, parameters: {weight: 1}}, {model: one, parameters: {weight: 1}}]
---
merge_method: linear
models: [{model: half, parameters: {weight: 1}}, {model: ${second}, parameters: {weight: 3}}]
`;

  it('take what earlier ones give, tensor by tensor', async () => {
    expect((await valuesOf(twice('two')))['conv_in.weight']).toBe(1.625);
  });

  it('may use one twice, also as the base', async () => {
    const recipe = `
stages:
  - {name: x, merge_method: linear, models: [{model: one}, {model: two}], parameters: {weight: 1}}
  - {name: y, merge_method: task_arithmetic, base_model: x, models: [{model: three, parameters: {weight: 2}}]}
  - {merge_method: slerp, models: [{model: x}, {model: y}], parameters: {t: 0.5}}
`;
    // x = 1.5, y = 1.5 + 2 * 1.5, parallel to each other.
    expect((await valuesOf(recipe))['conv_in.weight']).toBe(3);
  });

  const pass = (name: string, ...from: string[]) => `
  - {name: ${name}, merge_method: linear, models: [${from.map((each) => `{model: ${each}}`).join(', ')}], parameters: {weight: 1}}`;

  it.each([
    [
      `stages:${pass('a', 'b')}${pass('b', 'one')}`,
      'recipe: stage "a": a model is a file, a folder or an earlier stage; got "b", one that comes later: put it first',
    ],
    [
      `stages:${pass('a', 'b')}${pass('b', 'one', 'c')}${pass('c', 'a')}`,
      'got "b", one that comes later: they are a circle: a -> b -> c -> a',
    ],
    [`stages:${pass('a', 'one', 'a')}${pass('b', 'a')}`, 'got "a", the stage itself: they are a circle: a -> a'],
    [
      `stages:${pass('a', 'one')}${pass('b', 'two')}`,
      'recipe: stage "a": a stage is a model of a later one; got one that is not; name it, or leave it out',
    ],
  ])('that name each other wrongly are refused: %s', async (recipe, message) => {
    await expect(planInMemory(recipe, models)).rejects.toThrow(message);
  });
});

it('a variant of an earlier stage is refused', async () => {
  const recipe = `
stages:
  - {name: a, merge_method: passthrough, models: [{model: one}]}
  - {name: b, merge_method: passthrough, models: [{model: a, variant: fp16}]}
`;
  await expect(planInMemory(recipe, models)).rejects.toThrow(
    'recipe: stage "b": a variant is one of a folder\'s files; got variant: fp16 of the stage "a"; leave it out',
  );
});

describe('a plan', () => {
  it('says what will be done to each block', async () => {
    const recipe = `
merge_method: ties
base_model: zero
models:
  - {model: one, parameters: {weight: [1, 0.5], density: [{block: mid_block, value: 0.25}]}}
  - {model: two, parameters: {weight: 0.75}}
out_dtype: float16
`;
    const plan = await planInMemory(recipe, models);
    expect(plan).toMatchObject({ tensors: 7, bytesRead: 3 * 7 * 16, bytesWritten: 7 * 8 });
    expect(`${plan}`).toBe(
      `recipe: 7 tensors; reads 336 B, writes 56 B, takes about 200.0 MB of memory

block          tensors  size  what is done
conv_in              1   8 B  ties weight 1 : 0.75, lambda 1, normalize true, density 1 : 1, rescale none
conv_out             1   8 B  ties weight 0.5 : 0.75, lambda 1, normalize true, density 1 : 1, rescale none
down_blocks.0        2  16 B  ties weight 1 : 0.75, lambda 1, normalize true, density 1 : 1, rescale none
mid_block            1   8 B  ties weight 0.8333 : 0.75, lambda 1, normalize true, density 0.25 : 1, rescale none
up_blocks.0          1   8 B  ties weight 0.6667 : 0.75, lambda 1, normalize true, density 1 : 1, rescale none
up_blocks.1          1   8 B  ties weight 0.5 : 0.75, lambda 1, normalize true, density 1 : 1, rescale none`,
    );
    await plan.close();
  });

  it('copies tensors of whole numbers', async () => {
    const ids: TestModel = { ids: { shape: [2], values: [1, 2], dtype: 'I64' } };
    const plan = await planInMemory(mix('1'), { zero: { ...models.zero, ...ids }, one: { ...models.one, ...ids } });
    expect(plan.groups[0]).toEqual({ block: 'ids', method: 'copy', parameters: {}, tensors: 1, bytes: 16 });
    await plan.close();
  });
});

const nuslerp = (parameters: string) => `
merge_method: nuslerp
models: [{model: one}, {model: two}]
parameters: {weight: 1, ${parameters}}
`;
const two = (method: string, rest = '') => `merge_method: ${method}\nmodels: [{model: one}, {model: two}]\n${rest}`;

describe('what does not fit is found before a weight is read', () => {
  it.each([
    ['an unknown method', two('teis'), /^recipe: merge_method is one of linear, .*; got "teis"; closest: ties$/],
    ['no base', two('ties'), 'recipe: ties merges what models have beyond a base; got none; set base_model'],
    [
      'a base where there is none',
      two('linear', 'base_model: zero\nparameters: {weight: 1}'),
      'recipe: linear has no base beside its models; got base_model: zero; list it among the models, or leave it out',
    ],
    [
      'too many models',
      `merge_method: slerp\nbase_model: zero\nmodels: [{model: one}, {model: two}]\nparameters: {t: 0.5}`,
      'recipe: slerp merges 1 model besides the base; got 2; from one model to another along the arc',
    ],
    [
      'too few models',
      `merge_method: model_stock\nbase_model: zero\nmodels: [{model: one}]`,
      'recipe: model_stock merges at least 2 models besides the base; got 1',
    ],
    [
      'a base listed twice',
      'merge_method: ties\nbase_model: zero\nmodels: [{model: zero}, {model: zero}, {model: one}]',
      'recipe: the base is listed once at most; got "zero" 2 times; leave it out of models',
    ],
    [
      'a parameter for the base',
      'merge_method: ties\nbase_model: zero\nmodels: [{model: zero, parameters: {weight: 1}}, {model: one}]',
      'recipe: ties has no parameters for its base; got weight for "zero"; leave it out',
    ],
    [
      'an unknown parameter',
      two('linear', 'parameters: {wieght: 1}'),
      'recipe: linear has the parameters weight, normalize; got "wieght"; closest: weight',
    ],
    [
      'a parameter that the models do not have',
      'merge_method: linear\nmodels: [{model: one, parameters: {normalize: true}}]\nparameters: {weight: 1}',
      'recipe: one: normalize is one for the whole merge; got one for a model; move it to parameters',
    ],
    [
      'a missing parameter',
      two('linear'),
      `recipe: one: weight is given for each tensor; got none for "conv_in.weight"; it is a number: the model's share`,
    ],
    [
      'a parameter for some tensors only',
      two('linear', 'parameters: {weight: {filter: conv, value: 1}}'),
      'recipe: one: weight is given for each tensor; got none for "down_blocks.0.resnets.0.norm1.weight"',
    ],
    [
      'a value out of range',
      'merge_method: slerp\nmodels: [{model: one}, {model: two}]\nparameters: {t: [0, 1.5]}',
      'recipe: t: it is a number from 0 to 1; got 1.5; 0 gives the base or first model, 1 the other',
    ],
    [
      'a value of another kind',
      two('linear', 'parameters: {weight: heavy}'),
      `recipe: weight: it is a number; got "heavy"; the model's share`,
    ],
    [
      'a gradient of what is no number',
      two('linear', 'parameters: {weight: 1, normalize: [0, 1]}'),
      'recipe: normalize: a list is a gradient of numbers; got one for a boolean; give one value',
    ],
    [
      'an empty filter',
      two('linear', 'parameters: {weight: [{filter: to_qq, value: 2}, {value: 1}]}'),
      'recipe: weight: a filter or block means at least one tensor; got filter "to_qq"; closest: to_q, ',
    ],
    [
      'an empty block',
      two('linear', 'parameters: {weight: [{block: up_blocks.4, value: 2}, {value: 1}]}'),
      'recipe: weight: a filter or block means at least one tensor; got block "up_blocks.4"; closest: up_blocks.0, up_blocks.1',
    ],
    [
      'a condition behind one for all',
      two('linear', 'parameters: {weight: [{value: 1}, {filter: norm, value: 2}]}'),
      'recipe: weight: what a recipe says is used; got filter "norm", which others come before; leave it out, or put it first',
    ],
    [
      'a parameter that each model overrides',
      'merge_method: linear\nmodels: [{model: one, parameters: {weight: 2}}]\nparameters: {weight: 1}',
      'recipe: weight: what a recipe says is used; got the value for all, which others come before',
    ],
    [
      'weights of a mean that sum to nothing',
      two('linear', 'parameters: {weight: [{filter: conv_in, value: 0}, {value: 1}]}'),
      'recipe: linear: weights of a mean do not sum to 0; got 0, 0; change one, or set normalize: false',
    ],
    [
      'parameters that make no sense together',
      nuslerp('row_wise: true'),
      'recipe: nuslerp: row_wise counts where a tensor is not one vector; got flatten: true; set it to false',
    ],
  ])('%s', async (_, recipe, message) => {
    await expect(planInMemory(recipe, models)).rejects.toThrow(message);
  });

  const given = 'parameters: {weight: 1}';
  it('a tensor that a model lacks, on either side', async () => {
    const fewer = flat(2, KEYS.slice(1));
    const text =
      'recipe: models that are merged have the same tensors; got 1 of one that two lacks: conv_in.weight; closest: conv_out.weight';
    await expect(planInMemory(two('linear', given), { ...models, two: fewer })).rejects.toThrow(text);
    await expect(planInMemory(two('linear', given), { ...models, one: fewer })).rejects.toThrow(
      'got 1 of two that one lacks',
    );
    await expect(planInMemory(two('linear', given), { ...models, two: {} })).rejects.toThrow(
      'got 7 of one that two lacks: conv_in.weight, conv_out.weight, down_blocks.0.resnets.0.conv1.weight and 4 more; it has none',
    );
  });

  it('shapes and types that differ', async () => {
    const other = (tensor: TestModel[string]) => ({ ...models, two: { ...models.two, 'conv_in.weight': tensor } });
    const wide = other({ shape: [4], values: [1, 1, 1, 1] });
    await expect(planInMemory(two('linear', given), wide)).rejects.toThrow(
      'recipe: a tensor has one shape in all models; got "conv_in.weight" [2, 2] in one and [4] in two; they are of different architectures',
    );
    const whole = other({ shape: [2, 2], values: [1, 1, 1, 1], dtype: 'I64' });
    await expect(planInMemory(two('linear', given), whole)).rejects.toThrow(
      'recipe: a tensor is a floating-point one in all models, or in none; got "conv_in.weight" F32 in one and I64 in two; convert one',
    );
  });

  it('a gradient over a model without blocks', async () => {
    const plain = { zero: flat(0, ['a', 'b']), one: flat(1, ['a', 'b']) };
    await expect(planInMemory(mix('[0, 1]'), plain)).rejects.toThrow(
      'recipe: one: weight: a list is a gradient over down_blocks, mid_block and up_blocks; got a model without; use filters',
    );
  });
});
