import { readFloat32 } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeInMemory, planInMemory, runInMemory, type TestModel, type TestTensor } from '../models.test-support.ts';
import { parseRecipe } from '../recipe/recipe.ts';

const tensor = (shape: readonly number[], ...values: number[]): TestTensor => ({ shape, values });
const identity = tensor([2, 2], 1, 0, 0, 1);

/** An adapter of rank 1 on a layer: up [1, 2], down [10, 20], alpha 0.5, so that it adds [[5, 10], [10, 20]]. */
const product = (layer: string): TestModel => ({
  [`${layer}.lora_down.weight`]: tensor([1, 2], 10, 20),
  [`${layer}.lora_up.weight`]: tensor([2, 1], 1, 2),
  [`${layer}.alpha`]: tensor([], 0.5),
});
const FOLDED = [6, 10, 10, 21];

const QUERY = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q';
const TEXT_QUERY = 'encoder.layers.0.self_attn.q_proj';
const kohya = (component: string, path: string): string => `${component}_${path.replaceAll('.', '_')}`;

const unet: TestModel = { [`${QUERY}.weight`]: identity, 'conv_in.weight': tensor([1], 3) };
const text: TestModel = { [`text_model.${TEXT_QUERY}.weight`]: identity };
const newText: TestModel = { [`${TEXT_QUERY}.weight`]: identity };
const ORIGINAL = 'input_blocks.1.1.transformer_blocks.0.attn1.to_q';
const single: TestModel = {
  [`model.diffusion_model.${ORIGINAL}.weight`]: identity,
  'first_stage_model.encoder.conv_in.weight': tensor([1], 1),
  // Queries, keys and values of OpenCLIP lie in one tensor.
  'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight': tensor([6, 2], ...[1, 0, 0, 1], ...[1, 0, 0, 1], ...[7, 8, 9, 10]), // biome-ignore format: one line
  'cond_stage_model.model.transformer.resblocks.1.ln_1.weight': tensor([1], 1),
};
const joined: TestModel = { [`unet.${QUERY}.weight`]: identity, [`text_encoder.text_model.${TEXT_QUERY}.weight`]: identity }; // biome-ignore format: one line
const models = { unet, text, newText, single, joined };

const ofUnet = product(kohya('lora_unet', QUERY));
const ofText = product(kohya('lora_te', `text_model.${TEXT_QUERY}`));
const files = {
  ofUnet,
  ofText,
  both: { ...ofUnet, ...ofText },
  original: product(kohya('lora_unet', ORIGINAL)),
  ofKey: product(kohya('lora_te', 'text_model.encoder.layers.0.self_attn.k_proj')),
  dotted: product(`text_encoder.${TEXT_QUERY}`),
  bundle: { ...ofUnet, 'bundle_emb.x.string_to_param.*': tensor([2, 2], 1, 1, 1, 1) },
  wide: { ...product(kohya('lora_unet', QUERY)), [`${kohya('lora_unet', QUERY)}.lora_down.weight`]: tensor([1, 3], 1, 1, 1) }, // biome-ignore format: one line
};

const fold = (model: string, entry: string): string =>
  `merge_method: passthrough\nmodels: [{model: ${model}, loras: [{path: ${entry}}]}]`;

async function folded(model: string, entry: string, key: string): Promise<number[]> {
  return [...(await readFloat32(await mergeInMemory(fold(model, entry), models, files), key))];
}

const refused = (model: string, entry: string) => expect(planInMemory(fold(model, entry), models, files)).rejects;

describe('a file of several parts of a pipeline', () => {
  const rule = 'recipe: both: an adapter is folded in whole; got 3 keys of ';

  it('is refused where the model lacks one, unless a part is named', async () => {
    await refused('unet', 'both').toThrow(
      `${rule}text_encoder, and unet is of unet; set component: unet to fold that part alone`,
    );
    await refused('newText', 'both').toThrow(
      `${rule}unet, and newText is of text_encoder; set component: text_encoder to fold that part alone`,
    );
    expect(await folded('unet', 'both, component: unet', `${QUERY}.weight`)).toEqual(FOLDED);
    expect(await folded('text', 'both, component: text_encoder', `text_model.${TEXT_QUERY}.weight`)).toEqual(FOLDED);
    const plan = await planInMemory(fold('unet', 'both, component: unet, scale: 0.5'), models, files);
    expect(plan.adapters).toEqual([
      {
        model: 'unet',
        path: 'both',
        adapter: 'default',
        format: 'kohya',
        component: 'unet',
        scale: 0.5,
        layers: 1,
        whole: 0,
        ranks: [1],
        leftOut: ['3 keys of text_encoder'],
      },
    ]);
    expect(`${plan}`.split('\n').slice(-2)).toEqual([
      '',
      'unet + 0.5 both: kohya, unet; 1 layer of rank 1; left out: 3 keys of text_encoder',
    ]);
    await plan.close();
  });

  it('is folded into every part of a single file', async () => {
    for (const model of ['single', 'joined']) {
      const plan = await planInMemory(fold(model, 'both'), models, files);
      expect(plan.adapters.map(({ component }) => component).sort()).toEqual(['text_encoder', 'unet']);
      await plan.close();
    }
    const merged = await mergeInMemory(fold('joined', 'both'), models, files);
    for (const key of merged.keys()) expect([...(await readFloat32(merged, key))]).toEqual(FOLDED);
  });

  it('names what there is where a part is not', async () => {
    await refused('unet', 'ofText').toThrow(
      'recipe: ofText: an adapter is folded in whole; got 3 keys of text_encoder, and unet is of unet; give the model of that part, or set component: text_encoder if this is it',
    );
    await refused('unet', 'ofUnet, component: unnet').toThrow(
      'recipe: ofUnet: component is a part that the file has; got "unnet"; choose one of unet',
    );
    await refused('single', 'both, component: text_encoder_2').toThrow(
      'recipe: both: component is a part that single has; got "text_encoder_2"; choose one of unet, text_encoder, vae',
    );
  });
});

describe('an adapter is laid on a model however either is spelled', () => {
  const key = `model.diffusion_model.${ORIGINAL}.weight`;
  const fused = 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight';

  it('a single file, by both of kohya’s spellings', async () => {
    expect(await folded('single', 'ofUnet', key)).toEqual(FOLDED);
    expect(await folded('single', 'original', key)).toEqual(FOLDED);
    expect(await folded('unet', 'original', `${QUERY}.weight`)).toEqual(FOLDED);
  });

  it('the projections of OpenCLIP, which are rows of one tensor', async () => {
    expect(await folded('single', 'ofText', fused)).toEqual([...FOLDED, 1, 0, 0, 1, 7, 8, 9, 10]);
    expect(await folded('single', 'ofKey, scale: 2', fused)).toEqual([1, 0, 0, 1, 11, 20, 20, 41, 7, 8, 9, 10]);
  });

  it('a text encoder with text_model. in front of its layers, and without', async () => {
    expect(await folded('newText', 'ofText', `${TEXT_QUERY}.weight`)).toEqual(FOLDED);
    expect(await folded('newText', 'dotted', `${TEXT_QUERY}.weight`)).toEqual(FOLDED);
    expect(await folded('text', 'dotted', `text_model.${TEXT_QUERY}.weight`)).toEqual(FOLDED);
  });
});

describe('what does not fit is refused before a weight is read', () => {
  it('a layer of another size', async () => {
    await refused('unet', 'wide').toThrow(/got 1 of another shape.*to_q: \[2, 3\], the model's is \[2, 2\]/s);
  });

  it('a key that means nothing, unless the recipe allows it', async () => {
    await refused('unet', 'bundle').toThrow(
      "got 1 unused; look at the report; what may mean nothing is named in allow_unused of the adapter's entry in loras\nbuffer: kohya",
    );
    expect(await folded('unet', 'bundle, allow_unused: [bundle_emb.]', `${QUERY}.weight`)).toEqual(FOLDED);
    const plan = await planInMemory(fold('unet', 'bundle, allow_unused: [bundle_emb.]'), models, files);
    expect(`${plan}`).toContain('left out: bundle_emb.x.string_to_param.*');
    await plan.close();
  });

  it.each([
    [
      'merge_method: linear\nmodels: [{model: ofUnet}, {model: original}]\nparameters: {weight: 1}',
      'ofUnet',
      kohya('lora_unet', QUERY),
    ],
    ['merge_method: passthrough\nmodels: [{model: dotted}]', 'dotted', `text_encoder.${TEXT_QUERY}`],
    [
      'merge_method: task_arithmetic\nbase_model: unet\nmodels: [{model: ofUnet}]\nparameters: {weight: 1}',
      'ofUnet',
      kohya('lora_unet', QUERY),
    ],
  ])('a file of an adapter in place of a model: %j', async (recipe, name, layer) => {
    await expect(planInMemory(recipe, { ...models, ...files })).rejects.toThrow(
      `recipe: a model has weights; got ${name}, a file of an adapter, with "${layer}.lora_down.weight"; ` +
        'list it under loras of the model that it is for, with its scale: of several the products are added',
    );
  });

  it('two adapters on a model are the sum of their products', async () => {
    const recipe = `merge_method: passthrough\nmodels: [{model: unet, loras: [{path: ofUnet}, {path: ofUnet, scale: -3}]}]`;
    const merged = await mergeInMemory(recipe, models, files);
    expect([...(await readFloat32(merged, `${QUERY}.weight`))]).toEqual([-9, -20, -20, -39]);
  });
});

describe('models whose tensors differ', () => {
  const ids: TestModel = { 'text_model.embeddings.position_ids': { shape: [2], values: [0, 1], dtype: 'I64' } };
  const averaged: TestModel = { 'model_ema.conv_in': tensor([1], 9) };
  const given = { a: { ...unet, ...averaged }, b: { ...ids, ...unet, 'conv_in.weight': tensor([1], 5) } };
  const mix = (rest: string): string =>
    `merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n${rest}`;

  it('are refused, or merged as far as they agree', async () => {
    await expect(planInMemory(mix(''), given)).rejects.toThrow(
      /got 1 of a that b lacks: model_ema\.conv_in; closest: .*; or set unmatched: keep or drop$/,
    );
    const plan = await planInMemory(mix('unmatched: drop'), given);
    expect(plan.unmatched).toEqual({ kept: [], dropped: ['model_ema.conv_in', 'text_model.embeddings.position_ids'] });
    expect(`${plan}`).toContain('\ndropped, of one model: model_ema.conv_in, text_model.embeddings.position_ids');
    const merged = await runInMemory(plan);
    expect(merged.keys().sort()).toEqual(['conv_in.weight', `${QUERY}.weight`]);
    expect([...(await readFloat32(merged, 'conv_in.weight'))]).toEqual([4]);
  });

  it('may keep what only one has, as it is', async () => {
    const plan = await planInMemory(mix('unmatched: keep'), given);
    expect(plan.unmatched).toEqual({ kept: ['model_ema.conv_in', 'text_model.embeddings.position_ids'], dropped: [] });
    const merged = await runInMemory(plan);
    expect([...(await readFloat32(merged, 'conv_in.weight'))]).toEqual([4]);
    expect([...(await readFloat32(merged, 'model_ema.conv_in'))]).toEqual([9]);
    expect((await merged.read('text_model.embeddings.position_ids')).data).toEqual(BigInt64Array.of(0n, 1n));
  });

  it('have some in common', async () => {
    await expect(planInMemory(mix('unmatched: keep'), { a: averaged, b: ids })).rejects.toThrow(
      'recipe: models that are merged have tensors in common; got none of a, b; they are of different architectures',
    );
    expect(() => parseRecipe(mix('unmatched: all'))).toThrow('recipe: unmatched: it is keep or drop; got "all"');
  });
});
