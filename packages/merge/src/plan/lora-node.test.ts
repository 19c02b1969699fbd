import { expectClose, randomValues } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeInMemory, type TestModel, type TestTensor } from '../models.test-support.ts';

const tensor = (shape: readonly number[], ...values: number[]): TestTensor => ({ shape, values });

const model: TestModel = {
  'attn.to_q.weight': tensor([2, 2], 1, 0, 0, 1),
  'attn.to_q.bias': tensor([2], 0.5, 0.5),
  'conv_in.weight': tensor([1, 1, 1, 1], 3),
};
const other: TestModel = { ...model, 'attn.to_q.weight': tensor([2, 2], 3, 0, 0, 3) };

/** An adapter of rank 1: up [1, 2], down [10, 20], so that the product is [[10, 20], [20, 40]]. */
const plain: TestModel = {
  'unet.attn.to_q.lora_A.weight': tensor([1, 2], 10, 20),
  'unet.attn.to_q.lora_B.weight': tensor([2, 1], 1, 2),
};
const models = { model, other };
const loras = { plain };

const fold = (entries: string) => `merge_method: passthrough\nmodels: [{model: model, loras: [${entries}]}]`;

async function weightsOf(recipe: string, files: Readonly<Record<string, TestModel>> = loras) {
  const merged = await mergeInMemory(recipe, models, files);
  return [...(await readFloat32(merged, 'attn.to_q.weight'))];
}

describe('adapters', () => {
  it('are folded into a model with their scale', async () => {
    expect(await weightsOf(fold('{path: plain}'))).toEqual([11, 20, 20, 41]);
    expect(await weightsOf(fold('{path: plain, scale: 0.5}'))).toEqual([6, 10, 10, 21]);
    expect(await weightsOf(fold('{path: plain, scale: 0.5}, {path: plain, scale: -0.25}'))).toEqual([3.5, 5, 5, 11]);
  });

  it('leave the other tensors as they are', async () => {
    const merged = await mergeInMemory(fold('{path: plain}'), models, loras);
    expect(await readFloat32(merged, 'attn.to_q.bias')).toEqual(Float32Array.of(0.5, 0.5));
    expect(await readFloat32(merged, 'conv_in.weight')).toEqual(Float32Array.of(3));
  });

  it('are folded in before the model is merged', async () => {
    const recipe = `
merge_method: linear
models: [{model: model, loras: [{path: plain}], parameters: {weight: 1}}, {model: other, parameters: {weight: 1}}]
`;
    expect(await weightsOf(recipe)).toEqual([7, 10, 10, 22]);
  });

  it('fold into what a stage gives', async () => {
    const recipe = `
stages:
  - {name: half, merge_method: linear, models: [{model: model}, {model: other}], parameters: {weight: 1}}
  - {merge_method: passthrough, models: [{model: half, loras: [{path: plain}]}]}
`;
    expect(await weightsOf(recipe)).toEqual([12, 20, 20, 42]);
  });

  it('of DoRA give rows their length', async () => {
    const dora = { ...plain, 'unet.attn.to_q.lora_magnitude_vector': tensor([2], 1, 2) };
    const [a, b, c, d] = await weightsOf(fold('{path: dora}'), { dora });
    const [first, second] = [Math.hypot(11, 20), Math.hypot(20, 41)];
    await expectClose([a, b, c, d], [11 / first, 20 / first, 40 / second, 82 / second]);
  });

  it('of DoRA are scaled by the rule that is chosen, have the lengths of the model, and change nothing at 0', async () => {
    const dora = { ...plain, 'unet.attn.to_q.lora_magnitude_vector': tensor([2], 1, 2) };
    const files = { dora, plain };
    expect(await weightsOf(fold('{path: dora, scale: 0}'), files)).toEqual([1, 0, 0, 1]);
    // W + d / 2 = [6, 10, 10, 21], W + d = [11, 20, 20, 41].
    const row = (length: number, ...values: number[]) =>
      values.map((value) => (length * value) / Math.hypot(...values));
    const peft = [...row(1, 6, 10), ...row(2, 10, 21)];
    await expectClose(await weightsOf(fold('{path: dora, scale: 0.5}'), files), peft);
    const [first, second] = [1 / Math.hypot(11, 20), 2 / Math.hypot(20, 41)].map((f) => 1 + (f - 1) / 2);
    const lycoris = [11 * first, 20 * first, 20 * second, 41 * second];
    await expectClose(await weightsOf(fold('{path: dora, scale: 0.5, dora: lycoris}'), files), lycoris);
    // Both rows of the model have length 1.
    const comfyui = [1 + (11 - 1) / 2, 20 / 2, (2 * 20) / 2, 1 + (2 * 41 - 1) / 2];
    await expectClose(await weightsOf(fold('{path: dora, scale: 0.5, dora: comfyui}'), files), comfyui);
    // After another adapter the lengths are still those of the model with this one alone, as in PEFT.
    const [f, g] = [1 / Math.hypot(11, 20), 2 / Math.hypot(20, 41)];
    const both = [(1 + 20) * f, 40 * f, 40 * g, (1 + 80) * g];
    await expectClose(await weightsOf(fold('{path: plain}, {path: dora}'), files), both);
    await expect(mergeInMemory(fold('{path: dora, dora: kohya}'), models, files)).rejects.toThrow(/dora/);
  });

  it("of a PEFT model's state have PEFT's alpha, 8, or the one that is given", async () => {
    const state = {
      'attn.to_q.lora_A.default.weight': tensor([1, 2], 10, 20),
      'attn.to_q.lora_B.default.weight': tensor([2, 1], 1, 2),
    };
    expect(await weightsOf(fold('{path: state}'), { state })).toEqual([81, 160, 160, 321]);
    expect(await weightsOf(fold('{path: state, alpha: 1}'), { state })).toEqual([11, 20, 20, 41]);
  });

  it('of convolutions, kohya’s names and their alpha', async () => {
    const down = randomValues(2 * 3 * 9, { seed: 1 });
    const up = randomValues(4 * 2, { seed: 2 });
    const base = randomValues(4 * 3 * 9, { seed: 3 });
    const kohya: TestModel = {
      'lora_unet_down_blocks_0_conv.lora_down.weight': { shape: [2, 3, 3, 3], values: down },
      'lora_unet_down_blocks_0_conv.lora_up.weight': { shape: [4, 2, 1, 1], values: up },
      'lora_unet_down_blocks_0_conv.alpha': tensor([], 1),
    };
    const unet: TestModel = { 'down_blocks.0.conv.weight': { shape: [4, 3, 3, 3], values: base } };
    const merged = await mergeInMemory(fold('{path: kohya, scale: 3}'), { model: unet }, { kohya });
    const expected = base.map((value, at) => {
      const [o, i] = [Math.floor(at / 27), at % 27];
      return value + 3 * (1 / 2) * (up[2 * o] * down[i] + up[2 * o + 1] * down[27 + i]);
    });
    await expectClose(await readFloat32(merged, 'down_blocks.0.conv.weight'), expected);
  });

  it('of another model are refused, with every key that is', async () => {
    const strange = {
      'unet.attn.to_qq.lora_A.weight': tensor([1, 2], 1, 1),
      'unet.attn.to_qq.lora_B.weight': tensor([2, 1], 1, 1),
    };
    await expect(mergeInMemory(fold('{path: strange}'), models, { strange })).rejects.toThrow(
      /lora: a file of an adapter fits as a whole; got 1 of unknown layers.*attn\.to_qq; did you mean attn\.to_q/s,
    );
    const wide = { ...plain, 'unet.attn.to_q.lora_A.weight': tensor([1, 3], 1, 1, 1) };
    await expect(mergeInMemory(fold('{path: wide}'), models, { wide })).rejects.toThrow(
      /got 1 of another shape; look at the report; the adapter is of another model, or damaged\n.*attn\.to_q: \[2, 3\], the model's is \[2, 2\]/s,
    );
  });

  it('are chosen by name where a file has several', async () => {
    await expect(mergeInMemory(fold('{path: plain, adapter: defualt}'), models, loras)).rejects.toThrow(
      'recipe: plain: adapter is one of default; got "defualt"; closest: default',
    );
  });

  it('that make a weight infinite are refused', async () => {
    const large = { ...plain, 'unet.attn.to_q.lora_A.weight': tensor([1, 2], 3e38, 20) };
    await expect(mergeInMemory(fold('{path: large, scale: 100}'), models, { large })).rejects.toThrow(
      'merge: model with adapters: weights are finite; got Infinity at 0 of "attn.to_q.weight"',
    );
  });
});
