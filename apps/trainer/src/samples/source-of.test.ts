import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeLabelsPng, encodePng } from '@rass/images';
import { drawScene } from '@rass/scenes';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SourceRecipe } from '../recipe/fields.ts';
import { identityOf } from './identity.ts';
import { openSource } from './open-source.ts';
import { sourceOf, withData } from './source-of.ts';

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
const put = (data: Uint8Array | string, ...names: string[]): void => {
  mkdirSync(path(...names.slice(0, -1)), { recursive: true });
  writeFileSync(path(...names), data);
};

/** A small set in COCO's layout: two segments, of the second and the first category. */
function putCoco(...names: string[]): void {
  const image = { width: 4, height: 2, data: new Uint8Array(24) };
  put(encodePng(image), ...names, 'val2017', 'a.png');
  const segments = { width: 4, height: 2, data: new Uint8Array(24) };
  segments.data.set([7, 0, 0, 0, 1, 0], 0);
  put(encodePng(segments), ...names, 'annotations', 'panoptic_val2017', 'a.png');
  const json = {
    images: [{ id: 1, file_name: 'a.png' }],
    annotations: [
      {
        image_id: 1,
        file_name: 'a.png',
        segments_info: [
          { id: 7, category_id: 30 },
          { id: 256, category_id: 20 },
        ],
      },
    ],
    categories: [
      { id: 20, name: 'cat' },
      { id: 30, name: 'dog' },
    ],
  };
  put(JSON.stringify(json), ...names, 'annotations', 'panoptic_val2017.json');
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-source-'));
  putCoco('coco');
  const { image, labels } = drawScene({ seed: 1, width: 16, height: 16 });
  for (const set of ['ade', 'split']) {
    const split = set === 'split' ? ['training'] : [];
    put(encodePng(image), set, 'images', ...split, 'a.png');
    put(encodeLabelsPng(labels), set, 'annotations', ...split, 'a.png');
  }
  put(encodePng(image), 'pairs', 'images', 'a.png');
  put(encodePng(image), 'pairs', 'clean', 'a.png');
  put('a.png\n', 'pairs', 'images', 'all.txt');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('finds what a path is', async () => {
  const coco = path('coco', 'annotations', 'panoptic_val2017.json');
  const found = await sourceOf(coco);
  expect(found).toEqual({
    kind: 'coco',
    annotations: coco,
    images: path('coco', 'val2017'),
    masks: path('coco', 'annotations', 'panoptic_val2017'),
  });
  const { labels } = await (await openSource(found)).get(0);
  expect(Array.from(labels!.data)).toEqual([1, 0, 255, 255, 255, 255, 255, 255]);
  expect(await sourceOf(coco, { images: 'i', masks: 'm' })).toMatchObject({ images: 'i', masks: 'm' });
  cpSync(coco, path('coco', 'other.json'));
  await expect(sourceOf(path('coco', 'other.json'))).rejects.toThrow(
    `COCO's images lie in a folder beside its JSON; got none there; name it by --images`,
  );
  expect(await sourceOf(path('ade'))).toEqual({ kind: 'ade20k', folder: path('ade') });
  expect(await sourceOf(path('split'), { split: 'training' })).toMatchObject({ kind: 'ade20k', split: 'training' });
  expect(await sourceOf(path('pairs'))).toMatchObject({ kind: 'pairs', clean: path('pairs', 'clean') });
  expect(await sourceOf(path('pairs', 'images', 'all.txt'))).toMatchObject({ kind: 'list' });
  expect(await sourceOf(path('pairs', 'images'))).toMatchObject({ kind: 'folder' });
  await expect(sourceOf(path('pairs'), { split: 'x' })).rejects.toThrow("a split is of ADE20K's layout");
  await expect(sourceOf(path('ade'), { masks: 'x' })).rejects.toThrow(
    "--images and --masks are of COCO's panoptic JSON",
  );
  await expect(sourceOf('/dev/null')).rejects.toThrow('got a pipe or a device');
});

it('takes a set that has moved in the place of a recipe, with what the recipe says of it', async () => {
  const ade: SourceRecipe = { kind: 'ade20k', folder: 'data/ade', split: 'training', reduceZeroLabel: true };
  expect(await withData(ade, path('split'))).toEqual({ ...ade, folder: path('split') });
  expect(await withData({ kind: 'folder', folder: 'photos' }, path('ade'))).toEqual({
    kind: 'folder',
    folder: path('ade'),
  });
  expect(await withData(ade, path('pairs'))).toMatchObject({ kind: 'pairs' });
  const scenes: SourceRecipe = { kind: 'scenes', size: 48, first: 0 };
  expect(await withData(scenes, path('pairs', 'images'))).toMatchObject({ kind: 'folder' });
  const mix: SourceRecipe = {
    kind: 'mix',
    parts: [
      { source: { kind: 'scenes', size: 48, first: 0 }, share: 3 },
      { source: { kind: 'list', file: 'old.txt' }, share: 1 },
    ],
  };
  const moved = await withData(mix, path('pairs', 'images', 'all.txt'));
  expect(moved).toMatchObject({
    parts: [{ share: 3 }, { source: { file: path('pairs', 'images', 'all.txt') }, share: 1 }],
  });
  const two: SourceRecipe = { ...mix, parts: [mix.parts[1]!, mix.parts[1]!] };
  await expect(withData(two, path('pairs'))).rejects.toThrow('got 2 of them; name each by --set');
  await expect(withData(ade, path('nothing'))).rejects.toThrow('a data set is a folder or a list; got nothing');
});

it('tells a set that has moved from another one', async () => {
  cpSync(path('ade'), path('moved'), { recursive: true });
  const of = (root: string) => identityOf({ data: { source: { kind: 'ade20k', folder: root } }, degradation: 'none' });
  expect(await of(path('moved'))).toEqual(await of(path('ade')));
  cpSync(path('ade', 'images', 'a.png'), path('moved', 'images', 'b.png'));
  cpSync(path('ade', 'annotations', 'a.png'), path('moved', 'annotations', 'b.png'));
  expect(await of(path('moved'))).not.toEqual(await of(path('ade')));
  const options = (preset: string) =>
    identityOf({ data: { source: { kind: 'scenes', size: 48, first: 0 } }, degradation: preset });
  expect(await options('rass')).not.toEqual(await options('rass-mild'));
});
