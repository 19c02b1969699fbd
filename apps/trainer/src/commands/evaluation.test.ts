import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAde20k } from '@rass/datasets/node';
import { degrade, RASS_DEGRADATION } from '@rass/degradation';
import { encodeLabelsPng } from '@rass/images';
import { readImage } from '@rass/images/node';
import { ConfusionMatrix } from '@rass/metrics';
import { openPipeline } from '@rass/pipeline/node';
import { drawScene } from '@rass/scenes';
import { parseManifest } from '@rass/weights';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { rass } from './rass.test-support.ts';

const TIME = 600_000;
const COUNT = 3;

let folder: string;
let model: string;
const path = (...names: string[]) => join(folder, ...names);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-evaluation-'));
  model = await trainSmallModel(folder);
  const made = rass(
    'dataset',
    'scenes',
    '--count',
    String(COUNT),
    '--size',
    '64',
    '--first',
    '5',
    '--out',
    path('set'),
  );
  expect(made.stderr + made.stdout).toContain(`${COUNT} images: ${path('set')}`);
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('dataset scenes writes the scenes, degraded from their seeds, with a record of each', async () => {
  const dataset = await openAde20k(path('set'));
  expect([dataset.length, dataset.classes.length]).toEqual([COUNT, 25]);
  for (let i = 0; i < COUNT; i++) {
    const { image, labels, degraded } = await dataset.get(i);
    const scene = drawScene({ seed: 5 + i, width: 64, height: 64 });
    expect(image).toEqual(scene.image);
    expect(labels).toEqual(scene.labels);
    expect(degraded!.data).toEqual(new Uint8Array(degrade(image, RASS_DEGRADATION, { seed: i }).image.data));
  }
  const lines = readFileSync(path('set', 'degradation.jsonl'), 'utf8').trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).seed)).toEqual([0, 1, 2]);
});

it('dataset scenes writes good ones by themselves where nothing degrades them', async () => {
  const out = path('good');
  expect(rass('dataset', 'scenes', '--count', '2', '--size', '48', '--degradation', 'none', '--out', out).status).toBe(
    0,
  );
  expect(readdirSync(out).sort()).toEqual(['annotations', 'classes.json', 'degradation.jsonl', 'images']);
  const dataset = await openAde20k(out);
  expect(Object.keys(await dataset.get(1)).sort()).toEqual(['id', 'image', 'labels']);
});

it('dataset scenes and degrade leave a folder with files alone', () => {
  for (const args of [
    ['scenes', '--count', '1'],
    ['degrade', path('set')],
  ]) {
    const { status, stderr } = rass('dataset', ...args, '--out', path('set', 'clean'));
    expect(status).toBe(1);
    expect(stderr).toContain(
      `${path('set', 'clean')}: a set is written into a new folder; got one with 000000.png in it`,
    );
  }
  expect(readdirSync(path('set', 'clean')).length).toBe(COUNT);
});

it('dataset check and stats read everything, and a sheet shows it', () => {
  const good = rass('dataset', 'check', path('set'), '--sheet', path('sheet.html'));
  expect([good.status, good.stdout]).toEqual([0, '3 images are whole, 3 with labels, 3 pairs; 0 are broken\n']);
  const sheet = readFileSync(path('sheet.html'), 'utf8');
  expect(sheet.match(/data:image\/png/g)?.length).toBe(4 * COUNT);
  expect(sheet).toMatch(/(wall|sky) \d+\.\d %/);
  const stats = JSON.parse(rass('dataset', 'stats', path('set'), '--json').stdout);
  expect(stats).toMatchObject({ images: COUNT, widths: [64, 64, 64], problems: [] });
  const table = rass('dataset', 'stats', path('set')).stdout;
  expect(table).toContain('least, median and most: 64, 64, 64 wide');

  const image = path('set', 'images', '000000.png');
  const before = readFileSync(image);
  const over = rass('dataset', 'check', path('set'), '--sheet', image);
  expect([over.status, over.stderr]).toEqual([
    1,
    expect.stringContaining('a result does not lie among what it is made of'),
  ]);
  expect(readFileSync(image)).toEqual(before);

  mkdirSync(path('broken'));
  writeFileSync(path('broken', 'a.png'), readFileSync(path('set', 'images', '000000.png')).subarray(0, 900));
  writeFileSync(path('broken', 'b.png'), readFileSync(path('set', 'images', '000001.png')));
  const bad = rass('dataset', 'check', path('broken'));
  expect([bad.status, bad.stdout]).toEqual([1, '1 images are whole, 0 with labels, 0 pairs; 1 are broken\n']);
  expect(bad.stderr).toContain(`${path('broken', 'a.png')}: an image is whole; got one that ends early or is corrupt`);
});

it('degrade and dataset degrade make the same bad photographs', async () => {
  const out = path('degraded');
  const args = ['--degradation', 'rass-mild', '--seed', '4'];
  expect(rass('degrade', path('set', 'clean'), '--out', out, '--record', ...args).status).toBe(0);
  expect(rass('dataset', 'degrade', path('set', 'clean'), '--out', path('again'), ...args).status).toBe(0);
  for (const name of ['000000', '000002']) {
    const image = await readImage(join(out, `${name}.png`));
    expect(image).toEqual(await readImage(path('again', 'images', `${name}.png`)));
    expect(image).not.toEqual(await readImage(path('set', 'clean', `${name}.png`)));
    expect(existsSync(join(out, `${name}.json`))).toBe(true);
  }
  const check = rass('dataset', 'check', path('again'));
  expect(check.stdout).toBe(`${COUNT} images are whole, 0 with labels, ${COUNT} pairs; 0 are broken\n`);
  const copied = rass('dataset', 'degrade', path('again'), '--out', path('copied'), '--samples', '2');
  expect(copied.stdout).toBe(
    `2 images, of which 2 had bad photographs already, which are taken as they are: ${path('copied')}\n`,
  );
  expect(rass('degrade', path('set', 'clean'), '--out', out, '--degradation', 'mild').stderr).toContain(
    'degradation: it is a preset or a .yml file; got "mild"; closest: ',
  );
});

it(
  'eval counts what the model labels',
  async () => {
    const out = path('scores.json');
    const { status, stdout } = rass('eval', path('set'), '--model', model, '--restorer', model, '--lpips', 'none', '--out', out); // biome-ignore format: one line
    expect(status).toBe(0);
    expect(stdout).toContain('mIoU');
    const scores = JSON.parse(readFileSync(out, 'utf8'));
    const dataset = await openAde20k(path('set'));
    const pipeline = await openPipeline(model, { restore: false, segment: true });
    const matrix = new ConfusionMatrix({ classes: 25 });
    for (let i = 0; i < COUNT; i++) {
      const { labels, degraded } = await dataset.get(i);
      matrix.add(await pipeline.segment(degraded!), labels!);
    }
    pipeline.dispose();
    // A class that is predicted and not there counts, and is shown.
    const rows = stdout.split('\n').filter((line) => /^\S.* {2}\d+\.\d\d {2}(\d+\.\d\d|-)$/.test(line));
    expect(rows.length).toBe(
      scores.segmentation.perClass.filter(({ iou }: { iou: number | null }) => iou !== null).length,
    );
    expect(scores.images).toBe(COUNT);
    expect(scores.segmentation.miou).toBeCloseTo(matrix.scores().miou, 6);
    expect(scores.restoration.degraded.psnr).toBeGreaterThan(scores.restoration.restored.psnr);
    expect(scores).toMatchObject({ protocol: 'rass', degradation: 'none', asTheyAre: 0 });
    // The same bad photographs, without the good ones beside them: what is bad already is not degraded once more.
    for (const name of ['images', 'annotations', 'classes.json'])
      cpSync(path('set', name), path('bad-alone', name), { recursive: true });
    const alone = rass('eval', path('bad-alone'), '--model', model, '--json');
    expect(alone.stderr).toContain(`${COUNT} of ${COUNT} images have no good photograph beside them`);
    expect(JSON.parse(alone.stdout).segmentation).toEqual(scores.segmentation);
    const unpaired = rass('eval', path('bad-alone'), '--restorer', model, '--lpips', 'none');
    expect([unpaired.status, unpaired.stderr]).toEqual([
      1,
      expect.stringContaining('eval: restoration is scored against good photographs; got none beside '),
    ]);
    const restored = rass('eval', path('bad-alone'), '--model', model, '--restorer', model, '--lpips', 'none', '--json'); // biome-ignore format: one line
    expect(JSON.parse(restored.stdout)).not.toHaveProperty('restoration');
    const compared = rass('export', model, '--out', path('for-bad-alone'), '--compare', path('bad-alone'), '--samples', '1'); // biome-ignore format: one line
    expect(compared.stdout).toContain('the set has no good photographs');
  },
  TIME,
);

it(
  'eval refuses models and data sets that do not fit',
  () => {
    const dt = rass('eval', path('set'), '--model', model, '--protocol', 'dt');
    expect([dt.status, dt.stderr]).toEqual([
      1,
      'eval: dt scores a segmenter on the frozen model; got one on the restoring model; see mergeRestoration of its recipe\n',
    ]);
    const unlabelled = rass('eval', path('set', 'clean'), '--model', model, '--protocol', 'clean');
    expect(unlabelled.stderr).toContain('eval: to score a segmenter the data set has labels; got none');
    const inside = path('set', 'scores.json');
    expect(rass('eval', path('set'), '--model', model, '--out', inside).stderr).toBe(
      `eval: a result does not lie among what it is made of; got ${inside} in ${path('set')}; name another place\n`,
    );
    expect(rass('eval', path('set')).stderr).toContain('eval: something is scored');
    for (const name of ['images', 'classes.json']) cpSync(path('set', name), path('void', name), { recursive: true });
    mkdirSync(path('void', 'annotations'));
    const ignored = encodeLabelsPng({ width: 64, height: 64, data: new Uint8Array(64 * 64).fill(255) });
    for (let i = 0; i < COUNT; i++) writeFileSync(path('void', 'annotations', `00000${i}.png`), ignored);
    const nothing = rass('eval', path('void'), '--model', model);
    expect([nothing.status, nothing.stderr]).toEqual([
      1,
      expect.stringContaining(
        `${path('void')}: labels name what pixels show; got none that is not ignored in all of 3`,
      ),
    ]);
    expect(rass('eval', path('nothing'), '--model', model).stderr).toContain('a data set is a folder or a list');
  },
  TIME,
);

it(
  'export halves the weights, and the model does the same',
  async () => {
    const out = path('exported');
    const { status, stdout } = rass('export', model, '--out', out, '--no-tokenizer');
    expect(status).toBe(0);
    expect(stdout).toContain('seg.safetensors');
    const size = (folder: string): number => statSync(join(folder, 'unet', 'diffusion_pytorch_model.safetensors')).size;
    expect(size(out)).toBeLessThan(0.65 * size(model));
    expect(readdirSync(out)).not.toContain('tokenizer');
    const manifest = parseManifest(JSON.parse(readFileSync(join(out, 'files.json'), 'utf8')), 'x');
    expect(manifest.files.map((file) => file.path)).toEqual(
      readdirSync(out, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !['README.md', 'files.json'].includes(entry.name))
        .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1))
        .sort(),
    );
    const card = readFileSync(join(out, 'README.md'), 'utf8');
    expect(card).toContain('rass segment photos/ --model exported');
    expect(card).toContain('Classes: wall, building, sky');
    const image = await readImage(path('set', 'images', '000000.png'));
    const restored: Uint8Array[] = [];
    for (const each of [model, out]) {
      const pipeline = await openPipeline(each, { restore: true, segment: true });
      restored.push((await pipeline.restore(image, { tags: ['sky'] })).data);
      pipeline.dispose();
    }
    const off = restored[0]!.map((level, i) => Math.abs(level - restored[1]![i]!));
    expect(off.reduce((a, b) => a + b, 0) / off.length).toBeLessThan(1);
    expect(readdirSync(out)).not.toContain('scr.safetensors');
    expect(JSON.parse(readFileSync(join(out, 'rass.json'), 'utf8')).restoration).toEqual({
      latentUpdate: 'residual',
      timestep: 1,
    });
    expect(JSON.parse(readFileSync(join(out, 'model_index.json'), 'utf8'))).not.toHaveProperty('tokenizer');
    const ofRun = rass('export', path('small-seg'), '--out', path('of-a-run'));
    expect([ofRun.status, ofRun.stderr]).toEqual([1, expect.stringContaining('of a run, give the model/ in it')]);
    const inside = rass('export', model, '--out', join(model, 'inside'));
    expect([inside.status, inside.stderr]).toEqual([1, expect.stringContaining('lie apart; got')]);
    const onto = rass('export', model, '--out', model);
    expect([onto.status, onto.stderr]).toEqual([1, expect.stringContaining(`got ${model} for both`)]);
    const refused = rass('export', model, '--out', path('set'));
    expect([refused.status, refused.stderr]).toEqual([
      1,
      `${path('set')}: a model is written into a new folder, or in place of another one; got one with annotations in it; name another\n`,
    ]);
  },
  TIME,
);

it(
  'export writes codes of few bits, and says what they cost',
  () => {
    const of = (dtype: string, ...compare: string[]) => {
      const out = path(`exported-${dtype}`);
      const { status, stdout } = rass('export', model, '--out', out, '--dtype', dtype, ...compare);
      expect(status).toBe(0);
      const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1]);
      return {
        error: number(/^unet\/\S+ .* ([\d.e+-]+)$/m),
        agreement: number(/same label +([\d.]+) %/),
        between: number(/both restore +([\d.]+) dB/),
        miou: /^mIoU +([\d.]+) % +([\d.]+) %$/m.exec(stdout)?.slice(1),
        bytes: statSync(join(out, 'unet', 'diffusion_pytorch_model.safetensors')).size,
      };
    };
    const compare = ['--compare', path('set'), '--samples', '1'];
    const [same, eight, four] = [of('F32', '--no-merge', ...compare), of('Q8'), of('Q4', ...compare)];
    expect(same).toMatchObject({ error: 0, agreement: 100, between: 100 });
    expect(same.miou?.[0]).toBe(same.miou?.[1]);
    expect(four.between).toBeLessThan(70);
    expect(four.agreement).toBeGreaterThan(95);
    expect(eight.error).toBeGreaterThan(0);
    expect(eight.error).toBeLessThan(0.01);
    expect(four.error).toBeGreaterThan(5 * eight.error);
    expect(eight.bytes).toBeLessThan(0.55 * same.bytes);
    expect(four.bytes).toBeLessThan(0.85 * eight.bytes);
    const seen = JSON.parse(rass('inspect', path('exported-Q4'), '--json').stdout);
    const unet = seen.files.find((file: { path: string }) => file.path.startsWith('unet/'));
    expect(unet.bytes).toBeLessThan(four.bytes);
    expect(unet.bytes).toBeGreaterThan(0.5 * four.bytes);
    const missing = rass('export', model, '--out', path('not-made'), '--compare', path('nothing'));
    expect([missing.status, existsSync(path('not-made'))]).toEqual([1, false]);
    expect(missing.stderr).toContain('a data set is a folder or a list; got nothing');
  },
  TIME,
);

it(
  'export merges adapters, for all tasks or one, in shards or whole, without a difference',
  () => {
    const compare = ['--compare', path('set'), '--samples', '2'];
    const of = (from: string, name: string, ...flags: string[]) => {
      const { status, stdout, stderr } = rass('export', from, '--out', path(name), '--dtype', 'F32', ...flags);
      expect([status, stderr]).toEqual([0, expect.anything()]);
      const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
      return { agreement: number(/same label +([\d.]+) %/), between: number(/both restore +([\d.]+) dB/) };
    };
    const files = (name: string): string[] => readdirSync(path(name), { recursive: true }).map(String);
    const both = of(model, 'merged', ...compare);
    expect(both.agreement).toBeGreaterThan(99.9);
    expect(both.between).toBeGreaterThan(80);
    const alone = of(model, 'segments', '--tasks', 'segment', '--shard-size', '0.1', ...compare);
    expect(alone.agreement).toBeGreaterThan(99.9);
    expect(alone.between).toBeNaN();
    expect(files('segments').filter((file) => /^unet\/.*-of-\d+\.safetensors$/.test(file)).length).toBeGreaterThan(1);
    expect(files('segments')).not.toContain('scr.safetensors');
    // Shards into one file again, with nothing left to merge.
    const again = of(path('segments'), 'in-one', ...compare);
    expect(again.agreement).toBe(100);
    expect(files('in-one')).toContain('unet/diffusion_pytorch_model.safetensors');
    expect(files('in-one').filter((file) => file.endsWith('.index.json'))).toEqual([]);
    expect(of(model, 'restores', '--tasks', 'restore', ...compare).between).toBeGreaterThan(80);
    expect(files('restores')).not.toContain('seg.safetensors');
    expect(rass('inspect', path('merged')).stdout).toContain('restores: LoRA merged, residual, timestep 1');
  },
  TIME,
);

it('export says which choices of tasks and adapters it cannot serve', () => {
  const refused = (...flags: string[]) => rass('export', ...flags, '--out', path('refused')).stderr;
  expect(refused(model, '--tasks', 'segment', '--no-merge')).toContain(
    'what segments on the restoring UNet has its adapters merged',
  );
  expect(refused(model, '--tasks', 'restore,paint')).toContain('tasks are restore and segment, by commas; got "paint"');
  expect(refused(path('restores'), '--tasks', 'segment')).toContain('got segment, which it was not trained to');
  expect(existsSync(path('refused'))).toBe(false);
});

it(
  'demo writes a page of photographs and scenes',
  () => {
    const page = path('demo.html');
    const args = [
      '--model',
      model,
      '--photographs',
      path('set', 'clean'),
      '--scenes',
      '2',
      '--size',
      '64',
      '--out',
      page,
    ];
    const { status, stdout } = rass('demo', ...args);
    expect(status).toBe(0);
    expect(stdout).toContain(`report: ${page}`);
    const html = readFileSync(page, 'utf8');
    expect(html.match(/data:image\/png/g)?.length).toBe(4 * COUNT + 5 * 2);
    expect(html).toContain('<td>2 scenes, restored</td>');
    expect(html).toMatch(/restored: PSNR \d+\.\d/);
  },
  TIME,
);

it('inspect says what models, runs, weights and images are', () => {
  const ofModel = rass('inspect', model).stdout;
  expect(ofModel).toContain('restores: LoRA of rank 4, alpha 8, residual, timestep 1');
  expect(ofModel).toContain('segments 25 classes on the restoring model: wall, building');
  const run = JSON.parse(rass('inspect', path('small-seg'), '--json').stdout);
  expect(run).toMatchObject({ kind: 'run', step: 1, finished: true, broken: 0, recipe: { kind: 'seg', steps: 1 } });
  expect(run.metrics.loss).toBeGreaterThan(0);
  expect(rass('inspect', path('small-seg')).stdout).toContain('seg small-seg: step 1 of 1, trained');
  expect(rass('inspect', join(model, 'scr.safetensors')).stdout).toContain('safetensors');
  expect(rass('inspect', path('set', 'clean', '000000.png')).stdout).toBe('64 x 64\n');
  const { status, stderr } = rass('inspect', path('set', 'clean'));
  expect([status, stderr]).toEqual([
    1,
    expect.stringContaining('a folder is a model, a run or an adapter; got neither'),
  ]);
});
