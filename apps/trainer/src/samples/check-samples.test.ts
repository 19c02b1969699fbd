import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeLabelsPng, encodePng } from '@rass/images';
import { drawScene } from '@rass/scenes';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Recipe, resolveRecipe } from '../recipe/recipes.ts';
import { smallScr, smallSeg, smallUnet, smallVae } from '../training/small-recipes.test-support.ts';
import { checkSamples } from './check-samples.ts';
import { openRecipeFeed } from './recipe-feed.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-check-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Two images in ADE20K's layout, whose labels are these numbers in turn. */
function setOf(name: string, numbers: readonly number[], classes?: readonly string[]): string {
  const root = join(folder, name);
  for (const each of ['images', 'annotations']) mkdirSync(join(root, each), { recursive: true });
  for (const seed of [0, 1]) {
    const { image } = drawScene({ seed, width: 32, height: 32 });
    const data = Uint8Array.from({ length: 32 * 32 }, (_, i) => numbers[i % numbers.length]!);
    writeFileSync(join(root, 'images', `${seed}.png`), encodePng(image));
    writeFileSync(join(root, 'annotations', `${seed}.png`), encodeLabelsPng({ width: 32, height: 32, data }));
  }
  const list = classes?.map((each, i) => ({ name: each, colour: [i, 0, 0] }));
  if (list !== undefined) writeFileSync(join(root, 'classes.json'), JSON.stringify(list));
  return root;
}

const dataOf = (root: string, allow: readonly string[] = []) => ({
  data: { source: { kind: 'ade20k', folder: root }, augment: { crop: 32 }, workers: 0, allow },
});

async function check(recipe: object): Promise<string> {
  const resolved = resolveRecipe(recipe, 'test') as Recipe;
  const feed = await openRecipeFeed(resolved);
  const message = await checkSamples(resolved, feed).then(
    () => 'fine',
    (error: Error) => error.message,
  );
  await feed.close();
  return message;
}

it('says before a training that labels tell nothing apart, unless that is allowed', async () => {
  const seg = smallSeg(1, 'model');
  const masks = setOf('masks', [0, 255], ['background', 'lesion']);
  const binary = setOf('binary', [0, 1]);
  const ignored = setOf('ignored', [255], ['background', 'lesion']);
  expect(await check({ ...seg, ...dataOf(masks) })).toBe(
    `recipe: data.source: ${masks}: labels tell 2 classes apart; got one alone, "background", and ignored pixels, in all of 2 label maps; ` +
      '255 is no class and is ignored; write the classes as 0, 1 and so on\nto train all the same: --set data.allow=[one-class]',
  );
  expect(await check({ ...seg, ...dataOf(binary) })).toContain('got one alone, "wall"');
  expect(await check({ ...seg, ...dataOf(ignored) })).toContain('--set data.allow=[all-ignored]');
  expect(await check({ ...seg, ...dataOf(ignored, ['all-ignored']) })).toBe('fine');
  expect(await check({ ...seg, ...dataOf(setOf('good', [0, 1, 255], ['background', 'lesion'])) })).toBe('fine');
  // A part of a mix is trained on as well, and what judges is judged.
  const parts = [
    { source: { kind: 'scenes', size: 32 }, share: 1 },
    { source: { kind: 'ade20k', folder: binary }, share: 1 },
  ];
  const mixed = { data: { ...dataOf(binary).data, source: { kind: 'mix', parts } } };
  expect(await check({ ...seg, ...mixed })).toContain(`recipe: data.source: ${binary}: labels tell 150`);
  const judged = { ...seg, validation: { every: 1, source: { kind: 'ade20k', folder: setOf('void', [0]) } } };
  expect(await check(mixed.data.source && { ...judged, ...dataOf(setOf('ade', [1, 2])) })).toContain(
    `recipe: validation.source: ${join(folder, 'void')}: labels name what pixels show`,
  );
  const unlabelled = { every: 1, source: { kind: 'folder', folder: join(masks, 'images') } };
  expect(await check({ ...seg, ...dataOf(setOf('ade', [1, 2])), validation: unlabelled })).toContain(
    'recipe: validation.source: what is scored has labels; got none in',
  );
  // A part of a mix without labels, or a line, would end the training when it is drawn.
  const plain = join(masks, 'images');
  const mixOf = (source: object) => ({ kind: 'mix', parts: [parts[0], { source, share: 1 }] });
  const folderOf = { kind: 'folder', folder: plain };
  const rows = { kind: 'list', file: join(folder, 'rows.txt') };
  const row = (seed: number) => `good/images/${seed}.png\tgood/annotations/${seed}.png`;
  writeFileSync(rows.file, [row(0), 'good/images/1.png', 'good/images/0.png', row(1)].join('\n'));
  const on = (source: object) => ({ data: { ...dataOf(binary).data, source } });
  expect(await check({ ...seg, ...on(mixOf(folderOf)) })).toBe(
    `recipe: data.source: what is learned from has labels; got none in ${plain}; give labels, or leave it out`,
  );
  expect(await check({ ...seg, ...on(folderOf), validation: { every: 0 } })).toContain(`got none in ${plain}`);
  const lacking = `what is learned from has labels; got none with good/images/1.png and 1 more in ${rows.file}`;
  expect(await check({ ...seg, ...on(rows), validation: { every: 0 } })).toContain(lacking);
  expect(await check({ ...seg, ...on(mixOf(rows)) })).toContain(lacking);
  for (const source of [mixOf(folderOf), rows]) {
    const scored = { ...seg, ...on({ kind: 'ade20k', folder: join(folder, 'ade') }), validation: { every: 1, source } };
    expect(await check(scored)).toContain('recipe: validation.source: what is scored has labels; got none');
  }
  // Stage 1 learns from both.
  expect(await check({ ...smallScr(1, 'model'), ...on(mixOf(folderOf)) })).toBe('fine');
  // Without labels in the prompt a diffusion model learns from pictures alone.
  const unet = { ...smallUnet(1, 'model'), ...dataOf(binary) };
  expect(await check(unet)).toContain('got one alone, "wall"');
  expect(await check({ ...unet, tags: 'none' })).toBe('fine');
});

it('takes a validation with labels where the training reads none, or has none', async () => {
  const photographs = { kind: 'folder', folder: join(setOf('plain', [0, 1], ['a', 'b']), 'images') };
  const lesions = { kind: 'ade20k', folder: setOf('lesions', [0, 1], ['background', 'lesion']) };
  const judged = async (recipe: object, source: object): Promise<string[][]> => {
    const data = { source, augment: { crop: 32 }, workers: 0 };
    const validation = { every: 1, samples: 2, source: lesions };
    const resolved = resolveRecipe({ ...recipe, data, validation }, 'test');
    const feed = await openRecipeFeed(resolved);
    await checkSamples(resolved, feed);
    const samples = await feed.validation();
    await feed.close();
    return [feed.classes.map(({ name }) => name), samples.map(({ labels }) => typeof labels)];
  };
  const none = [[], ['undefined', 'undefined']];
  const scr = { ...smallScr(1, 'model'), loss: { kind: 'vsd', alignment: 0 } };
  for (const recipe of [smallVae(1), smallUnet(1, 'model'), scr])
    expect(await judged(recipe, photographs)).toEqual(none);
  // Of classes that nothing reads it may have others.
  const scenes = { kind: 'scenes', size: 32 };
  expect((await judged(smallVae(1), scenes))[1]).toEqual(none[1]);
  expect((await judged({ ...scr, tags: 'none' }, scenes))[1]).toEqual(none[1]);
  await expect(judged(scr, scenes)).rejects.toThrow('got "background"');
  await expect(judged(smallSeg(1, 'model'), scenes)).rejects.toThrow('got "background"');
  expect((await judged(scr, lesions))[1]).toEqual(['object', 'object']);
});

it('says before a training that a loss would stay 0, unless that is allowed', async () => {
  const photographs = join(setOf('photographs', [0, 1], ['a', 'b']), 'images');
  const data = { source: { kind: 'folder', folder: photographs }, augment: { crop: 32 }, workers: 0 };
  const scr = { ...smallScr(1, 'model'), data };
  const csd = (loss: object, change: object = {}) => check({ ...scr, loss: { kind: 'csd', ...loss }, ...change });
  expect(await csd({})).toBe(
    [
      'recipe: loss.alignment: a loss is above 0 at some step; got one that stays 0, since the samples have no labels; set loss.alignment=0, or give a source with labels, and tags',
      'recipe: loss.distillation: a loss is above 0 at some step; got one that stays 0, since the samples have no labels, and prompts are the empty negative prompt; set loss.kind=none, or give loss.negativePrompt',
      'to train all the same: --set data.allow=[zero-loss]',
    ].join('\n'),
  );
  expect(await csd({}, { data: { ...data, allow: ['zero-loss'] } })).toBe('fine');
  expect(await csd({ alignment: 0, negativePrompt: 'blurred' })).toBe('fine');
  expect(await csd({ alignment: 0, kind: 'none' })).toBe('fine');
  expect(await csd({ alignment: 0, kind: 'vsd' })).toBe('fine');
  const scenes = { data: { ...data, source: { kind: 'scenes', size: 32 } } };
  expect(await csd({}, scenes)).toBe('fine');
  expect(await csd({}, { ...scenes, tags: 'none' })).toContain('since tags is none');
  expect(await csd({}, { ...scenes, dropPrompt: 1 })).toContain('since dropPrompt is 1');
  expect(await csd({ guidance: 0 }, scenes)).toContain('since loss.guidance is 0');
});
