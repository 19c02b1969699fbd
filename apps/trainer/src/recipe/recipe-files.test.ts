import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openList } from '@rass/datasets/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { smallScr } from '../training/small-recipes.test-support.ts';
import { loadRecipe } from './load.ts';
import { recipeNames } from './packaged.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-recipe-files-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** What a process of its own makes of recipes, read by Node itself: their names, or what is wrong. */
function loaded(...paths: readonly string[]): string[] {
  const program = `
    import { loadRecipe } from ${JSON.stringify(new URL('./load.ts', import.meta.url).href)};
    for (const path of ${JSON.stringify(paths)}) {
      const said = await loadRecipe(path, 'scr').then(({ name }) => name, (error) => error.message);
      console.log(JSON.stringify(said));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, [put('program.mjs', program)], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (stdout === '') throw new Error(stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as string).replaceAll(`${folder}/`, ''));
}

it("finds the package's own recipes by name, wherever it is called", () => {
  const names = recipeNames();
  expect(names).toEqual(['sd21/scr', 'sd21/seg', 'tiny/scr', 'tiny/seg', 'tiny/unet', 'tiny/vae']);
  const said = loaded('sd21/scr', 'tiny/scr', 'sd21/sc', 'node_modules/@rass/trainer/recipes/tiny/scr.ts', 'tiny');
  expect(said.slice(0, 2)).toEqual(['sd21-scr', 'tiny-scr']);
  const rule = `a recipe is a file, or one of ${names.join(', ')}; got nothing; closest: `;
  expect(said.slice(2)).toEqual([
    `recipe: sd21/sc: ${rule}sd21/scr`,
    `recipe: node_modules/@rass/trainer/recipes/tiny/scr.ts: ${rule}tiny/scr`,
    expect.stringContaining(`recipe: tiny: ${rule}`),
  ]);
});

it('has the photographs that its recipes learn from', async () => {
  for (const [name, kind] of [
    ['tiny/vae', 'vae'],
    ['tiny/unet', 'unet'],
    ['tiny/scr', 'scr'],
  ] as const) {
    const { source } = (await loadRecipe(name, kind)).data;
    const lists = source.kind === 'mix' ? source.parts.map((part) => part.source) : [source];
    const list = lists.find((each) => each.kind === 'list')!;
    expect(list.file.startsWith(dirname(dirname(dirname(dirname(import.meta.filename)))))).toBe(true);
    const dataset = await openList(list.file);
    expect(dataset.names!.every((path) => path.startsWith('photographs/'))).toBe(true);
    for (let i = 0; i < dataset.length!; i++) expect((await dataset.get(i)).image.width).toBeGreaterThan(200);
  }
});

it('reads TypeScript in node_modules and where this package is not installed beside it', () => {
  const text = JSON.stringify(smallScr(3, 'model'));
  const typed = `import { defineRecipe } from '@rass/trainer';
    import { RASS_DEGRADATION } from '@rass/degradation';
    const steps: number = Object.keys(RASS_DEGRADATION).length;
    export default defineRecipe({ ...${text} as const, name: 'typed', steps });`;
  const [own, installed] = [put('project/scr.ts', typed), put('node_modules/recipes/scr.ts', typed)];
  expect(loaded(own, installed)).toEqual(['typed', 'typed']);
});

it('names file, line and column of what is wrong in a recipe', () => {
  const said = loaded(
    put('syntax.ts', "export default { kind: 'seg', name: 'x', steps: 3,, };\n"),
    put('syntax.mjs', 'export default { kind: "scr",\n  steps: 3,, };\n'),
    put('reference.ts', 'export default {\n  kind: scr,\n};\n'),
    put('cut.json', '{\n  "kind": "scr",\n  "steps": [1, 2'),
    put('tabs.yaml', 'kind: scr\nname: x\n  steps: 3\n'),
    put(
      'fields.yaml',
      'kind: scr\nname: x\nmodel: m\nsteps: many\ndata:\n  source: { kind: scenes }\n  augment:\n    crop: 3\nlos: {}\n',
    ),
    put('kind.json', '{\n  "name": "x",\n  "kind": "sgc" }'),
  );
  expect(said[0]).toMatch(/^recipe: syntax\.ts:1:51: a recipe is a module that runs; got .*; mend it$/);
  expect(said[1]).toBe("recipe: syntax.mjs:2:12: a recipe is a module that runs; got Unexpected token ','; mend it");
  expect(said[2]).toBe('recipe: reference.ts:2:9: a recipe is a module that runs; got scr is not defined; mend it');
  expect(said[3]).toMatch(/^recipe: cut\.json:3:17: a recipe is YAML or JSON; got .*; mend it$/);
  expect(said[4]).toMatch(/^recipe: tabs\.yaml:\d:\d+: a recipe is YAML or JSON; got .*; mend it$/);
  expect(said[5]!.split('\n').map((line) => line.split(': ').slice(0, 2).join(': '))).toEqual([
    'recipe fields.yaml:4:8: steps',
    'recipe fields.yaml:8:11: data.augment.crop',
    'recipe fields.yaml:9:6: los',
  ]);
  expect(said[6]).toMatch(/^recipe kind\.json:3:11: kind is one of vae, unet, scr, seg; got "sgc"/);
});

it('names the file that is wrong where a recipe imports it', () => {
  const broken = 'export const a = 1;\nexport const b = { x: 3,, };\n';
  put('parts/js.mjs', broken);
  put('parts/ts.ts', broken);
  put('parts/throws.mjs', 'export const b =\n  nope;\n');
  put('parts/none.mjs', 'export const c = 1;\n');
  const named = ['js.mjs', 'ts.ts', 'throws.mjs', 'none.mjs'];
  put('parts/between.mjs', "export { b } from './js.mjs';\n");
  put('deep.mjs', "export { b as default } from './parts/between.mjs';\n");
  const said = loaded(
    ...named.map((name) => put(`of-${name}`, `import { b } from './parts/${name}';\nexport default b;\n`)),
  );
  const rule = 'what a recipe imports is a module that runs; got';
  expect(said[0]).toBe(`recipe: of-js.mjs: parts/js.mjs:2:25: ${rule} Unexpected token ','; mend it`);
  expect(said[1]).toMatch(/^recipe: of-ts\.ts: parts\/ts\.ts:2:25: what a recipe imports is a module that runs; got/);
  expect(said[2]).toBe(`recipe: of-throws.mjs: parts/throws.mjs:2:3: ${rule} nope is not defined; mend it`);
  expect(said[3]).toMatch(/^recipe: of-none\.mjs:1:10: a recipe is a module that runs; got The requested module/);
  // A file between them.
  expect(loaded(join(folder, 'deep.mjs'))[0]).toBe(
    `recipe: deep.mjs: parts/js.mjs:2:25: ${rule} Unexpected token ','; mend it`,
  );
});

it('says which --set is wrong', async () => {
  const path = put('good.json', JSON.stringify(smallScr(3, 'model')));
  await expect(loadRecipe(path, 'scr', ['optimizer.rate=fast'])).rejects.toThrow(
    `recipe ${path}, --set: optimizer.rate: `,
  );
});

it.skipIf(process.platform === 'win32')('waits for no pipe', () => {
  const pipe = join(folder, 'pipe.json');
  spawnSync('mkfifo', [pipe]);
  expect(loaded(pipe)).toEqual([expect.stringContaining('got a pipe or a device; closest: ')]);
});
