import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { smallScr, smallSeg, smallUnet, smallVae } from '../training/small-recipes.test-support.ts';
import { loadRecipe } from './load.ts';
import { type RecipeKind, resolveRecipe } from './recipes.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-recipes-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
const putScr = (): string => put('scr.json', JSON.stringify(smallScr(3, 'model')));

it("fills in the paper's values", () => {
  const scr = resolveRecipe({ ...smallScr(3, 'model'), loss: {}, optimizer: {} }, 'test');
  expect(scr).toMatchObject({
    latentUpdate: 'residual',
    timestep: 1,
    lora: { rank: 4, alpha: 8 },
    loss: { l2: 1, lpips: 2, distillation: 1, alignment: 1, guidance: 7.5 },
    optimizer: { rate: 1e-4, betas: [0.9, 0.999], clip: 1 },
    batch: 2,
    accumulate: 1,
  });
});

it.each<[RecipeKind, object]>([
  ['vae', smallVae(2)],
  ['unet', smallUnet(2, 'm')],
  ['scr', smallScr(2, 'm')],
  ['seg', smallSeg(2, 'm')],
])('resolves a resolved recipe to itself: %s', (kind, options) => {
  const once = resolveRecipe(options, 'test');
  expect(once.kind).toBe(kind);
  expect(resolveRecipe(once, 'test')).toEqual(once);
  expect(resolveRecipe(JSON.parse(JSON.stringify(once)), 'test')).toEqual(once);
});

it('takes a module, JSON and YAML alike', async () => {
  const text = JSON.stringify(smallScr(3, 'model'));
  const [module, json, yaml] = [
    put('a.ts', `export default ${text} as const;\n`),
    put('a.json', text),
    put('a.yaml', text),
  ];
  const read = await Promise.all([module, json, yaml].map((path) => loadRecipe(path, 'scr')));
  expect(read[1]).toEqual(read[0]);
  expect(read[2]).toEqual(read[0]);
});

it.each([
  ['&a\nkind: scr\nloss: *a\n', 'a recipe is YAML or JSON of plain values; got Converting circular structure to JSON'],
  [
    'kind: scr\noptimizer: { rate: .inf }\n',
    'a recipe is YAML or JSON of plain values; got rate = Infinity, which is not finite; mend it',
  ],
])('refuses %j, naming its file', async (text, message) => {
  const path = put('bad.yaml', text);
  await expect(loadRecipe(path, 'scr')).rejects.toThrow(message);
  await expect(loadRecipe(path, 'scr')).rejects.toThrow(path);
});

it('lays settings of the command line over it', async () => {
  const recipe = await loadRecipe(putScr(), 'scr', [
    'optimizer.rate=1e-4',
    'loss.kind=csd',
    'data.source.size=96',
    'average.decay=0.5',
    'checkpointing=true',
    'loss.timesteps=[10, 20]',
    'optimizer.groups=[{ match: conv_in, factor: 0.5 }]',
    'optimizer.groups.0.factor=0.25',
  ]);
  expect(recipe.optimizer).toMatchObject({ rate: 1e-4, groups: [{ match: 'conv_in', factor: 0.25 }] });
  expect(recipe.loss).toMatchObject({ kind: 'csd', timesteps: [10, 20], warmUp: 4 });
  expect(recipe.data.source).toMatchObject({ kind: 'scenes', size: 96 });
  expect(recipe).toMatchObject({ average: { decay: 0.5 }, checkpointing: true });
});

it('names every field that is wrong', async () => {
  const error = await loadRecipe(putScr(), 'scr', ['batch=0', 'optimizer.rate=fast', 'los.l2=1']).catch(String);
  expect(error).toContain('batch: Invalid value: Expected >=1 but received 0; got 0');
  expect(error).toContain('optimizer.rate: Invalid type: Expected number but received "fast"; got "fast"');
  expect(error).toContain('los: Invalid key');
});

it('says what is wrong with a file', async () => {
  await expect(loadRecipe(put('a.txt', ''), 'scr')).rejects.toThrow('got ".txt"; rename it');
  await expect(loadRecipe(put('b.ts', 'export const recipe = {};\n'), 'scr')).rejects.toThrow('write export default');
  await expect(loadRecipe(putScr(), 'seg')).rejects.toThrow(
    'this command trains "seg"; got a recipe of "scr"; use its command',
  );
  await expect(loadRecipe(put('c.json', '{ "kind": "sgc" }'), 'scr')).rejects.toThrow(
    'kind is one of vae, unet, scr, seg; got "sgc"; say what is trained',
  );
  await expect(loadRecipe(putScr(), 'scr', ['batch'])).rejects.toThrow('--set takes field=value; got "batch"');
});

const RECIPES = fileURLToPath(new URL('../../recipes', import.meta.url));
it.each(globSync('**/*.js', { cwd: RECIPES }))('reads the recipe of the package: %s', async (name) => {
  const { default: options } = (await import(join(RECIPES, name))) as { default: { kind: RecipeKind } };
  const recipe = await loadRecipe(join(RECIPES, name), options.kind);
  expect(recipe.about).toBeDefined();
});

it('lays settings into lists, and refuses what does not fit into one', async () => {
  const groups = [{ match: 'a' }, { match: 'b' }];
  const path = put('lists.json', JSON.stringify({ ...smallScr(3, 'model'), optimizer: { groups } }));
  const recipe = await loadRecipe(path, 'scr', ['optimizer.groups.1.factor=2', 'optimizer.groups.2.match=c']);
  expect(recipe.optimizer.groups.map(({ match, factor }) => [match, factor])).toEqual([
    ['a', 1],
    ['b', 2],
    ['c', 1],
  ]);
  for (const name of ['3.match', 'name', '-1']) {
    await expect(loadRecipe(path, 'scr', [`optimizer.groups.${name}=x`])).rejects.toThrow(
      `recipe: --set: a list's items are 0 to 2, the last one new; got "${name.split('.')[0]}"; number one`,
    );
  }
});

it('says what is wrong with names, patterns and files', async () => {
  const wrong = (change: object) => () => resolveRecipe({ ...smallScr(3, 'model'), ...change }, 'test');
  expect(wrong({ name: '..' })).toThrow('name');
  expect(wrong({ optimizer: { groups: [{ match: '(' }] } })).toThrow('is a regular expression');
  await expect(loadRecipe(join(folder, 'none.ts'), 'scr')).rejects.toThrow('a recipe is a file, or one of sd21/scr, ');
  const broken = put('broken.json', '{"kind": ');
  await expect(loadRecipe(broken, 'scr')).rejects.toThrow(`recipe: ${broken}:1:`);
});
