import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encodeLabelsPng, encodePng, type LabelMap, type RgbImage } from '@rass/images';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatasetClass } from '../index.ts';
import {
  ADE20K_CLASSES,
  concatDatasets,
  type Dataset,
  datasetStatistics,
  findLabelFault,
  relabelDataset,
  subsetDataset,
  unionClasses,
} from '../index.ts';
import { openAde20k, openCocoPanoptic, openFolder, openList, openPairs } from '../node.ts';

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-datasets-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const grey = (level: number, width = 4, height = 2): RgbImage => ({
  width,
  height,
  data: new Uint8Array(3 * width * height).fill(level),
});
const labelled = (values: number[], width = 4): LabelMap => ({
  width,
  height: values.length / width,
  data: Uint8Array.from(values),
});

function put(data: Uint8Array | string, ...names: string[]): string {
  mkdirSync(dirname(path(...names)), { recursive: true });
  writeFileSync(path(...names), data);
  return path(...names);
}
const putImage = (image: RgbImage, ...names: string[]): string => put(encodePng(image), ...names);
const putLabels = (labels: LabelMap, ...names: string[]): string => put(encodeLabelsPng(labels), ...names);

describe('openAde20k', () => {
  it('reads a split, label 0 as nothing', async () => {
    putImage(grey(10), 'ade', 'images', 'training', 'b.png');
    putImage(grey(20), 'ade', 'images', 'training', 'a.png');
    for (const name of ['a.png', 'b.png']) {
      putLabels(labelled([0, 1, 2, 150, 255, 3, 3, 3]), 'ade', 'annotations', 'training', name);
    }
    const dataset = await openAde20k(path('ade'), { split: 'training' });
    expect([dataset.length, dataset.classes.length]).toEqual([2, 150]);
    const { id, image, labels, degraded } = await dataset.get(0);
    expect(id).toBe(path('ade', 'images', 'training', 'a.png'));
    expect(image.data[0]).toBe(20);
    expect(Array.from(labels!.data)).toEqual([255, 0, 1, 149, 255, 2, 2, 2]);
    expect(degraded).toBeUndefined();
    const whole = await openAde20k(path('ade'), { split: 'training', reduceZeroLabel: false });
    expect(Array.from((await whole.get(0)).labels!.data).slice(0, 3)).toEqual([0, 1, 2]);
  });

  it('reads its own classes, and bad photographs beside good ones', async () => {
    const classes = [
      { name: 'sky', colour: [1, 2, 3] },
      { name: 'road', colour: [4, 5, 6] },
    ];
    put(JSON.stringify(classes), 'own', 'classes.json');
    putImage(grey(10), 'own', 'images', 'x', 'a.png');
    putImage(grey(90), 'own', 'clean', 'x', 'a.png');
    putLabels(labelled([0, 1, 0, 1, 255, 0, 0, 0]), 'own', 'annotations', 'x', 'a.png');
    const dataset = await openAde20k(path('own'));
    expect(dataset.classes).toEqual(classes);
    const { image, labels, degraded } = await dataset.get(0);
    expect([image.data[0], degraded!.data[0]]).toEqual([90, 10]);
    expect(Array.from(labels!.data)).toEqual([0, 1, 0, 1, 255, 0, 0, 0]);
  });

  it('says what is wrong', async () => {
    await expect(openAde20k(path('ade'), { split: 'test' })).rejects.toThrow('it is a folder of images; got no folder');
    putImage(grey(1), 'lacking', 'images', 'a.png');
    putImage(grey(1), 'lacking', 'images', 'b.png');
    putLabels(labelled([1, 1, 1, 1]), 'lacking', 'annotations', 'a.png');
    await expect(openAde20k(path('lacking'))).rejects.toThrow(
      'each image has labels of its name; got none for 1: b; add them',
    );
    putLabels(labelled([1, 1, 1, 1]), 'lacking', 'annotations', 'b.png');
    const dataset = await openAde20k(path('lacking'));
    await expect(dataset.get(0)).rejects.toThrow(
      'labels and image have one size; got 4 x 1 for 4 x 2; mend or leave out',
    );
    await expect(dataset.get(2)).rejects.toThrow('samples are numbered from 0 to 1; got 2');
    put('[ {"name":"a","colour":[0,0,0]},\n', 'lacking', 'classes.json');
    await expect(openAde20k(path('lacking'))).rejects.toThrow(
      `${path('lacking', 'classes.json')}:2:1: a list of classes is whole JSON; got one that breaks off; mend it, or write it anew`,
    );
    put('[ {"name":"a","colour":[0,0,0]}\n  {}]', 'lacking', 'classes.json');
    await expect(openAde20k(path('lacking'))).rejects.toThrow(
      `${path('lacking', 'classes.json')}:2:3: a list of classes`,
    );
    put(JSON.stringify([1, 2].map(() => ({ name: 'a', colour: [0, 0, 0] }))), 'lacking', 'classes.json');
    await expect(openAde20k(path('lacking'))).rejects.toThrow('each class has a name of its own');
    put('[{ "name": "x" }]', 'lacking', 'classes.json');
    await expect(openAde20k(path('lacking'))).rejects.toThrow('it is a list of { name, colour: [red, green, blue] }');
  });
});

it('openPairs and openFolder read images by name', async () => {
  putImage(grey(10), 'pairs', 'lq', 'deep', 'a.png');
  putImage(grey(200), 'pairs', 'hq', 'deep', 'a.png');
  const pairs = await openPairs({ degraded: path('pairs', 'lq'), clean: path('pairs', 'hq') });
  const { image, degraded } = await pairs.get(0);
  expect([pairs.length, image.data[0], degraded!.data[0]]).toEqual([1, 200, 10]);
  const all = await openFolder(path('pairs'));
  expect([all.length, all.classes]).toEqual([2, []]);
  mkdirSync(path('nothing'));
  await expect(openFolder(path('nothing'))).rejects.toThrow('a folder has images; got none');
  putImage(grey(1), 'twice', 'a.png');
  putImage(grey(1), 'twice', 'a.webp');
  await expect(openFolder(path('twice'))).rejects.toThrow('images have names of their own; got a.png and a.webp');
});

it('openList reads lines of images and labels', async () => {
  putImage(grey(5), 'list', 'with space.png');
  putImage(grey(6), 'list', 'plain.png');
  putLabels(labelled([0, 1, 1, 1, 2, 2, 2, 2]), 'list', 'labels.png');
  const file = put('# all\nwith space.png\tlabels.png\n\nplain.png labels.png\r\n', 'list', 'all.txt');
  const dataset = await openList(file);
  expect([dataset.length, dataset.classes]).toEqual([2, ADE20K_CLASSES]);
  for (const [i, level] of [5, 6].entries()) {
    const { image, labels } = await dataset.get(i);
    expect([image.data[0], labels!.data[0], labels!.data[4]]).toEqual([level, 255, 1]);
  }
  await expect(openList(put('a b c\n', 'list', 'bad.txt'))).rejects.toThrow(
    'bad.txt:1: a line is an image and, after a tab',
  );
  await expect(openList(put('#\n', 'list', 'none.txt'))).rejects.toThrow('a list has lines; got none');
});

it('names the images beside those of a data set whose formats are not read', async () => {
  putImage(grey(1), 'with-heic', 'a.png');
  put('x', 'with-heic', 'b.heic');
  const line = `${path('with-heic')}: 1 images are in formats that are not read: b.heic; convert them to JPEG, PNG or WebP`;
  expect((await datasetStatistics(await openFolder(path('with-heic')))).problems).toEqual([line]);
  put('x', 'only-heic', 'b.heic');
  await expect(openFolder(path('only-heic'))).rejects.toThrow(
    'a folder has images; got 1 images are in formats that are not read: b.heic; convert them to JPEG, PNG or WebP',
  );
});

it("openCocoPanoptic makes segments' categories into labels", async () => {
  const json = {
    images: [{ id: 7, file_name: 'a.png' }],
    annotations: [
      {
        image_id: 7,
        file_name: 'a.png',
        segments_info: [
          { id: 3 + 256 * 2, category_id: 20 },
          { id: 65536, category_id: 10 },
        ],
      },
    ],
    categories: [
      { id: 10, name: 'cat', color: [9, 8, 7] },
      { id: 20, name: 'dog' },
    ],
  };
  putImage(grey(3, 3, 1), 'coco', 'images', 'a.png');
  const mask = { width: 3, height: 1, data: Uint8Array.of(3, 2, 0, 0, 0, 1, 0, 0, 0) };
  putImage(mask, 'coco', 'masks', 'a.png');
  const files = { images: path('coco', 'images'), masks: path('coco', 'masks') };
  const dataset = await openCocoPanoptic({ annotations: put(JSON.stringify(json), 'coco', 'a.json'), ...files });
  expect(dataset.classes.map(({ name }) => name)).toEqual(['cat', 'dog']);
  expect(dataset.classes[0]!.colour).toEqual([9, 8, 7]);
  expect(Array.from((await dataset.get(0)).labels!.data)).toEqual([1, 0, 255]);
  json.annotations[0]!.segments_info.pop();
  const lacking = await openCocoPanoptic({ annotations: put(JSON.stringify(json), 'coco', 'b.json'), ...files });
  await expect(lacking.get(0)).rejects.toThrow('each segment has a category in the JSON; got none for 65536');
  await expect(openCocoPanoptic({ annotations: put('{}', 'coco', 'c.json'), ...files })).rejects.toThrow(
    "it is COCO's panoptic JSON; export it anew",
  );
  const refused = async (change: object): Promise<string> => {
    const annotations = put(JSON.stringify({ ...json, ...change }), 'coco', 'd.json');
    const error = await openCocoPanoptic({ annotations, ...files }).catch((reason: Error) => reason);
    return (error as Error).message.replace(annotations, 'd.json');
  };
  const [annotation] = json.annotations;
  const [cat, dog] = json.categories;
  expect(await refused({ categories: [cat, dog, { id: 10, name: 'again' }] })).toBe(
    'd.json: categories have a number and a name each; got 10 twice; number or name one anew',
  );
  expect(await refused({ categories: [cat, { id: 30, name: 'cat' }] })).toContain('got cat twice');
  expect(await refused({ annotations: [{ ...annotation, segments_info: [{ id: 5, category_id: 77 }] }] })).toBe(
    'd.json: each segment is of one of the categories; got 77 of segment 5 in a.png; add it to them',
  );
  expect(await refused({ annotations: [{ ...annotation, image_id: 8 }] })).toBe(
    'd.json: each annotation has an image; got none for 8, a.png; export it anew',
  );
  const instances = [{ id: 1, image_id: 7, category_id: 10, segmentation: [[0, 0, 1, 0, 1, 1]] }];
  expect(await refused({ annotations: instances })).toContain(
    'it is of instances, whose annotations are polygons; take panoptic_*.json',
  );
});

it('reads labels without their images, and calls samples what the set calls them', async () => {
  const ade = await openAde20k(path('ade'), { split: 'training' });
  expect([ade.names, ade.zeroIsNothing]).toEqual([['a', 'b'], true]);
  for (const dataset of [ade, await openList(path('list', 'all.txt')), await openAde20k(path('own'))])
    for (let i = 0; i < dataset.length!; i++)
      expect(await dataset.getLabels!(i)).toEqual((await dataset.get(i)).labels);
  expect((await openList(path('list', 'all.txt'))).names).toEqual(['with space.png', 'plain.png']);
  expect((await openPairs({ degraded: path('pairs', 'lq'), clean: path('pairs', 'hq') })).names).toEqual([
    join('deep', 'a'),
  ]);
});

describe('labels that tell nothing apart', () => {
  const two = ['background', 'lesion'].map((name, i) => ({ name, colour: [i, i, i] }));
  const setOf = async (name: string, classes: readonly object[] | undefined, ...maps: number[][]) => {
    for (const [i, values] of maps.entries()) {
      putImage(grey(i), name, 'images', `${i}.png`);
      putLabels(labelled(values), name, 'annotations', `${i}.png`);
    }
    if (classes !== undefined) put(JSON.stringify(classes), name, 'classes.json');
    const dataset = await openAde20k(path(name));
    const fault = await findLabelFault(dataset, { samples: 1 });
    expect((await datasetStatistics(dataset)).problems).toEqual(fault === undefined ? [] : [fault.message]);
    return fault;
  };

  it('0 and 255 with two classes: 255 is ignored', async () => {
    const fault = await setOf('masks', two, [0, 0, 255, 255, 0, 0, 0, 0], [255, 0, 0, 0, 0, 0, 0, 0]);
    expect(fault).toEqual({
      kind: 'one-class',
      message:
        'labels tell 2 classes apart; got one alone, "background", and ignored pixels, in all of 2 label maps; 255 is no class and is ignored; write the classes as 0, 1 and so on',
    });
  });

  it('0 and 1 without classes.json: 0 is nothing, and 1 is wall', async () => {
    const fault = await setOf('binary', undefined, [0, 0, 1, 1, 0, 0, 0, 0]);
    expect(fault).toEqual({
      kind: 'one-class',
      message:
        'labels tell 150 classes apart; got one alone, "wall", and ignored pixels, in all of 1 label maps; ' +
        'without classes.json labels are those of ADE20K, which count from 1, and 0 is nothing; write classes.json with the names of labels that count from 0',
    });
  });

  it('nothing but what is ignored', async () => {
    const fault = await setOf('void', two, Array(8).fill(255), Array(8).fill(255));
    expect(fault?.kind).toBe('all-ignored');
    expect(fault?.message).toContain('got none that is not ignored in all of 2 label maps; 255 is no class');
  });

  it('finds nothing wrong where a class is rare, or there is one class alone', async () => {
    const rare = [Array(8).fill(0), Array(8).fill(0), [0, 0, 0, 0, 0, 0, 0, 1]];
    expect(await setOf('rare', two, ...rare)).toBeUndefined();
    expect(await setOf('single', two.slice(0, 1), Array(8).fill(0))).toBeUndefined();
    expect(await findLabelFault(await openFolder(path('single', 'images')))).toBeUndefined();
  });
});

const memory = (levels: number[], classes: Dataset['classes'] = ADE20K_CLASSES.slice(0, 3)): Dataset => ({
  length: levels.length,
  classes,
  async get(index) {
    const level = levels[index]!;
    if (level < 0) throw new Error(`sample ${index} is broken`);
    return { id: `s${level}`, image: grey(level), labels: labelled([0, 0, 1, 1, 1, 255, level % 5, 0]) };
  },
});

it('data sets are put together and taken apart', async () => {
  const all = concatDatasets([memory([0, 1]), memory([2])]);
  expect(all.length).toBe(3);
  expect((await all.get(2)).id).toBe('s2');
  const some = subsetDataset(all, [2, 0]);
  expect([(await some.get(0)).id, (await some.get(1)).id, some.length]).toEqual(['s2', 's0', 2]);
  expect(() => subsetDataset(all, [3])).toThrow('samples are numbered from 0 to 2; got 3');
  expect(() => concatDatasets([memory([0]), memory([0], ADE20K_CLASSES)])).toThrow(
    'all have the same classes; got 3 and 150',
  );
  expect(() => concatDatasets([])).toThrow('at least one data set');
});

it('labels of different classes are brought to the same by their names', async () => {
  const [wall, building, sky] = ADE20K_CLASSES as unknown as [DatasetClass, DatasetClass, DatasetClass];
  const lesion = { name: 'lesion', colour: [1, 2, 3] } as const;
  const [a, b] = [memory([0, 1], [wall, building, sky]), memory([0], [sky, lesion, { ...wall, colour: [9, 9, 9] }])];
  const all = unionClasses([a.classes, b.classes]);
  expect(all).toEqual([wall, building, sky, lesion]);
  expect(relabelDataset(a, a.classes)).toBe(a);
  const both = concatDatasets([relabelDataset(a, all), relabelDataset(b, all)]);
  // Sky, lesion and wall were 0, 1 and 2; 255 stays.
  expect(Array.from((await both.get(2)).labels!.data)).toEqual([2, 2, 3, 3, 3, 255, 2, 2]);
  expect(Array.from((await both.get(1)).labels!.data)).toEqual([0, 0, 1, 1, 1, 255, 1, 0]);
  const odd = { ...memory([0], [sky, lesion]), getLabels: async () => labelled([0, 1, 2, 255]) };
  await expect(relabelDataset(odd, all).getLabels!(0)).rejects.toThrow(
    'labels are from 0 to 1, or 255; got 2; mend them',
  );
  const images = { ...memory([0], []), classes: [] };
  expect(relabelDataset(images, all)).toBe(images);
  expect(() => relabelDataset(b, a.classes)).toThrow(
    'relabelDataset: each class of a data set is one of the new ones; got "lesion", which is none of 3; give them all, as unionClasses does',
  );
  expect(() => unionClasses([[wall], [{ ...wall, name: 'Wall' }]])).toThrow('got "wall" and "Wall"; spell them alike');
  const many = Array.from({ length: 256 }, (_, i) => ({ ...wall, name: `class ${i}` }));
  expect(() => unionClasses([many])).toThrow('labels tell 255 classes apart; got 256 names in all');
});

it('datasetStatistics counts what is there, and lists what is wrong', async () => {
  const statistics = await datasetStatistics(memory([0, 1, -1, 4]));
  expect(statistics).toMatchObject({ images: 3, labelled: 3, pairs: 0, widths: [4, 4, 4], heights: [2, 2, 2] });
  expect(statistics.problems).toEqual([
    'sample 2 is broken',
    's4: labels are from 0 to 2, or 255; got 4 in 1 pixels; mend them',
  ]);
  expect(statistics.ignoredShare).toBeCloseTo(1 / 8, 9);
  expect(statistics.classes.map(({ pixels, images }) => [pixels, images])).toEqual([
    [7, 2],
    [7, 2],
    [0, 0],
  ]);
  expect((await datasetStatistics(memory([0, 1, 0, 1]), { samples: 2 })).images).toBe(2);
});

const DATA = process.env['RASS_TEST_DATA'];
it.skipIf(DATA === undefined)('reads two photographs of ADE20K (RASS_TEST_DATA)', async () => {
  const dataset = await openAde20k(join(DATA!, 'seg-mini', 'ade20k'));
  const { problems, classes, images } = await datasetStatistics(dataset);
  expect([images, problems]).toEqual([2, []]);
  const found = classes.filter(({ share }) => share > 0.05).map(({ name }) => name);
  expect(found).toContain('building');
});
