import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeImage, decodeLabels } from '@rass/images';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { rass } from './rass.test-support.ts';

const PHOTOGRAPHS = fileURLToPath(new URL('../../../../test-fixtures/images', import.meta.url));
const TIME = 600_000;

let folder: string;
let model: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-images-'));
  model = await trainSmallModel(folder);
  mkdirSync(path('in', 'deep'), { recursive: true });
  copyFileSync(join(PHOTOGRAPHS, 'cat.jpg'), path('in', 'cat.jpg'));
  copyFileSync(join(PHOTOGRAPHS, 'coffee.jpg'), path('in', 'deep', 'coffee.jpeg'));
  writeFileSync(path('in', 'cut.jpg'), readFileSync(path('in', 'cat.jpg')).subarray(0, 3000));
  writeFileSync(path('in', 'empty.png'), '');
  writeFileSync(path('in', 'page.webp'), '<html>not found</html>');
  writeFileSync(path('in', 'notes.txt'), 'left out');
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const filesBelow = (out: string): string[] =>
  globSync('**/*', { cwd: out, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1))
    .sort();

/** The lines of standard error that tell of an image that could not be done. */
const complaints = (stderr: string): string[] =>
  stderr.split('\n').filter((line) => line.includes(': ') && line.startsWith('/'));

/** Everything that is written for an image, looked into. */
async function expectResults(out: string, name: string, source: string): Promise<void> {
  const { width, height } = await decodeImage(readFileSync(source));
  const labels = await decodeLabels(readFileSync(join(out, 'labels', `${name}.png`)));
  expect([labels.width, labels.height]).toEqual([width, height]);
  for (const kind of ['overlay', 'restored']) {
    const picture = await decodeImage(readFileSync(join(out, kind, `${name}.png`)));
    expect([picture.width, picture.height]).toEqual([width, height]);
  }
  const json = JSON.parse(readFileSync(join(out, 'json', `${name}.json`), 'utf8'));
  expect(json).toMatchObject({ image: source, width, height });
  const areas = json.classes as { label: number; name: string; pixels: number; share: number }[];
  expect(areas.reduce((sum, { pixels }) => sum + pixels, 0)).toBe(width * height);
  for (const { label, pixels, share } of areas) {
    expect(pixels).toBe(labels.data.filter((each) => each === label).length);
    expect(share).toBeCloseTo(pixels / (width * height), 9);
  }
}

it(
  'segments every good image of a folder and names what is wrong with the others',
  async () => {
    const out = path('segmented');
    const { status, stdout, stderr } = rass(
      'segment',
      path('in'),
      '--model',
      model,
      '--out',
      out,
      '--short-side',
      '64',
      '--tags',
      'found',
    );
    expect(status).toBe(1);
    expect(stdout).toContain('2 of 5 images done');
    const { tags } = JSON.parse(readFileSync(join(out, 'json', 'cat.json'), 'utf8'));
    expect(tags.length).toBeGreaterThan(0);
    expect(complaints(stderr)).toEqual([
      expect.stringContaining(`${path('in', 'cut.jpg')}: an image is whole; got one that ends early or is corrupt`),
      `${path('in', 'empty.png')}: images are JPEG, PNG and WebP; got an empty file; fetch it anew`,
      `${path('in', 'page.webp')}: images are JPEG, PNG and WebP; got a web page; fetch the picture itself`,
    ]);
    await expectResults(out, 'cat', path('in', 'cat.jpg'));
    await expectResults(out, 'deep/coffee', path('in', 'deep', 'coffee.jpeg'));
    expect(filesBelow(out).length).toBe(9);
  },
  TIME,
);

it(
  'restores images, and ends with 0 where all are good',
  async () => {
    const out = path('restored');
    const cat = path('in', 'cat.jpg');
    const { status, stdout } = rass('restore', cat, '--model', model, '--out', out, '--tags', 'person, sky', '--colour-fix', 'wavelet'); // biome-ignore format: one line
    expect([status, filesBelow(out)]).toEqual([0, ['cat.png', 'rass-results.jsonl']]);
    expect(stdout).toContain('1 of 1 images done');
    const [given, restored] = [
      await decodeImage(readFileSync(cat)),
      await decodeImage(readFileSync(join(out, 'cat.png'))),
    ];
    expect([restored.width, restored.height]).toEqual([given.width, given.height]);
  },
  TIME,
);

it('leaves the photographs as they are, and takes no results for photographs', () => {
  const to = ['--model', model, '--out'];
  const cat = readFileSync(path('in', 'cat.jpg'));
  const among = rass('segment', path('in'), ...to, path('in'));
  expect([among.status, among.stderr]).toEqual([
    1,
    `${path('in')}: results lie in a folder of their own; got that of the images; name another, such as ${path('in', 'results')}\n`,
  ]);
  mkdirSync(path('one'));
  copyFileSync(path('in', 'cat.jpg'), path('one', 'cat.png'));
  const over = rass('degrade', path('one', 'cat.png'), '--out', path('one'));
  expect([over.status, over.stderr]).toEqual([
    1,
    expect.stringContaining('a result does not lie among what it is made of'),
  ]);
  expect(readFileSync(path('one', 'cat.png'))).toEqual(cat);
  for (let time = 0; time < 2; time++) {
    expect(rass('degrade', path('one'), '--out', path('one', 'bad')).stdout).toContain('1 of 1 images done');
  }
  expect(rass('restore', path('one'), ...to, path('x'), '--tags', 'labels').stderr).toContain(
    'Photographs have no labels',
  );
});

it('says what is wrong before anything is loaded', () => {
  const to = ['--model', model, '--out', path('none')];
  const missing = rass('segment', path('nothing'), ...to);
  expect([missing.status, missing.stderr.trim()]).toEqual([
    1,
    `${path('nothing')}: an input is a file or a folder; got nothing; check the path`,
  ]);
  expect(rass('restore', path('in', 'deep'), '--model', path('in'), '--out', path('none')).status).toBe(1);
  expect(rass('segment', path('in'), '--out', path('none')).stderr).toContain(
    "required option '--model <folder>' not specified",
  );
  expect(existsSync(path('none'))).toBe(false);
});

const DATA = process.env['RASS_TEST_DATA'];
describe.skipIf(DATA === undefined)('on photographs as they come (RASS_TEST_DATA)', () => {
  it(
    'gives all results of each good one, and a line for each bad one',
    async () => {
      const [good, hostile, out] = [join(DATA!, 'restore-mini'), join(DATA!, 'hostile-images'), path('as-they-come')];
      const { status, stderr } = rass('segment', join(good, 'lq'), hostile, '--model', model, '--out', out);
      expect(status).toBe(1);
      expect(complaints(stderr).map((line) => line.slice(hostile.length + 1).split(':')[0])).toEqual([
        '65536-uint32-limit.png',
        'big-height.webp',
        'corrupt-header.jpg',
        'truncated.jpg',
        'truncated.png',
      ]);
      const names = globSync('*.png', { cwd: join(good, 'lq') });
      expect(names.length).toBe(6);
      for (const name of names) await expectResults(out, name.slice(0, -'.png'.length), join(good, 'lq', name));
      for (const name of ['16-bit-grey-alpha.png', 'Channel_digital_image_CMYK_color_no_profile.jpg']) {
        await expectResults(out, name.slice(0, name.lastIndexOf('.')), join(hostile, name));
      }
      expect(filesBelow(out).length).toBe(4 * 8 + 1);
    },
    TIME,
  );
});
