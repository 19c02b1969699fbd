import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeImage, encodePng } from '@rass/images';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { rass } from './rass.test-support.ts';

const CAT = fileURLToPath(new URL('../../../../test-fixtures/images/cat.jpg', import.meta.url));
const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
const photograph = (...names: string[]): string => {
  mkdirSync(dirname(path(...names)), { recursive: true });
  copyFileSync(CAT, path(...names));
  return path(...names);
};
const written = (...names: string[]): string[] => globSync('**/*.png', { cwd: path(...names) }).sort();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-inputs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('tells results of earlier runs from photographs, and says what is left out', () => {
  photograph('photos', 'a.jpg');
  photograph('photos', 'deep', 'b.jpg');
  expect(rass('degrade', path('photos'), '--out', path('photos', 'results')).stdout).toContain('2 of 2 images done');
  const again = rass('degrade', path('photos'), '--out', path('others'));
  expect(again.stdout).toContain('2 of 2 images done');
  expect(again.stderr).toContain(`${path('photos')}: 2 pictures are results of earlier runs and are left out\n`);
  // Given themselves, restored and degraded pictures are photographs like others.
  expect(rass('degrade', path('photos', 'results'), '--out', path('third')).stdout).toContain('2 of 2 images done');
});

it('takes label maps and overlays of an earlier segmentation for no photographs, also where their folder is given', () => {
  for (const name of ['labels/a.png', 'overlay/a.png', 'restored/a.png']) photograph('results', name);
  const lines = ['labels/a.png', 'overlay/a.png', 'restored/a.png'].map((result) =>
    JSON.stringify({ result, of: CAT }),
  );
  writeFileSync(path('results', 'rass-results.jsonl'), `${lines.join('\n')}\n{"result":"cut`);
  expect(rass('degrade', path('results'), '--out', path('out')).stdout).toContain('1 of 1 images done');
  expect(written('out')).toEqual(['restored/a.png']);
  const labels = rass('degrade', path('results', 'labels'), '--out', path('none'));
  expect([labels.status, labels.stderr]).toEqual([
    1,
    `${path('results', 'labels')}: a folder has images, .jpg, .png or .webp; got 1 results of earlier runs alone; give another\n`,
  ]);
  // A file that is named itself is what the user says it is.
  expect(rass('degrade', path('results', 'labels', 'a.png'), '--out', path('one')).status).toBe(0);
});

it('leaves out what is there with --skip-existing, and makes the rest as a whole run would', () => {
  photograph('in', 'a.jpg');
  photograph('in', 'b.jpg');
  expect(rass('degrade', path('in'), '--out', path('out')).status).toBe(0);
  const [a, b] = [readFileSync(path('out', 'a.png')), readFileSync(path('out', 'b.png'))];
  expect(a.equals(b)).toBe(false);
  rmSync(path('out', 'b.png'));
  writeFileSync(path('out', 'a.png'), 'kept');
  const rest = rass('degrade', path('in'), '--out', path('out'), '--skip-existing');
  expect(rest.stdout).toContain('1 of 2 images done, 1 were there');
  expect(readFileSync(path('out', 'a.png'), 'utf8')).toBe('kept');
  expect(readFileSync(path('out', 'b.png')).equals(b)).toBe(true);
});

it('reads paths from a list, relative to it, and from standard input, and counts in a log', () => {
  photograph('in', 'a.jpg');
  photograph('in', 'b c.jpg');
  writeFileSync(path('list.txt'), '# two photographs\nin/a.jpg\tlabels/a.png\n\nin/b c.jpg\n');
  const listed = rass('degrade', '--list', path('list.txt'), '--out', path('listed'));
  expect([listed.stdout.split(',')[0], written('listed')]).toEqual(['2 of 2 images done', ['in/a.png', 'in/b c.png']]);
  expect(listed.stderr.trim().split('\n')).toEqual([
    `degrade 1 of 2 ${path('in', 'a.jpg')}`,
    `degrade 2 of 2 ${path('in', 'b c.jpg')}`,
  ]);
  const input = `${path('in', 'a.jpg')}\0${path('in', 'b c.jpg')}\0`;
  const piped = spawnSync(process.execPath, [MAIN, 'degrade', '--list', '-', '--out', path('piped')], { input, cwd: folder, encoding: 'utf8' }); // biome-ignore format: one line
  expect([piped.status, written('piped')]).toEqual([0, ['in/a.png', 'in/b c.png']]);
  writeFileSync(path('empty.txt'), '\n# nothing\n');
  expect(rass('degrade', '--list', path('empty.txt'), '--out', path('x')).stderr).toContain(
    `${path('empty.txt')}: a list has a path on each line; got none`,
  );
  expect(rass('degrade', '--out', path('x')).stderr).toContain(
    'degrade: images are files, folders or a list; got none; name one, or give --list',
  );
});

it('keeps photographs of one name in two folders apart, and takes one that is given twice once', () => {
  for (const name of ['first', 'second']) photograph(name, 'photos', 'a.jpg');
  photograph('second', 'photos', 'b.jpg');
  const [first, second] = [path('first', 'photos'), path('second', 'photos')];
  const { stdout } = rass('degrade', first, second, join(second, 'b.jpg'), '--out', path('out'));
  expect(stdout).toContain('3 of 3 images done');
  expect(written('out')).toEqual(['first/photos/a.png', 'second/photos/a.png', 'second/photos/b.png']);
});

it('names the images whose formats it does not read, in a folder and one by one', () => {
  photograph('mixed', 'a.jpg');
  for (const name of ['b.heic', 'c.AVIF', 'd.tif', 'e.gif']) {
    mkdirSync(path('mixed'), { recursive: true });
    writeFileSync(path('mixed', name), 'GIF89a');
  }
  const { stdout, stderr } = rass('degrade', path('mixed'), '--out', path('out'));
  expect(stdout).toContain('1 of 1 images done');
  const unread = '4 images are in formats that are not read: b.heic, c.AVIF, d.tif, e.gif';
  expect(stderr).toContain(`${path('mixed')}: ${unread}; convert them to JPEG, PNG or WebP\n`);
  const one = rass('degrade', path('mixed', 'e.gif'), '--out', path('one'));
  expect(one.status).toBe(1);
  expect(one.stderr).toContain(
    `${path('mixed', 'e.gif')}: images are JPEG, PNG and WebP; got a GIF image; convert it\n`,
  );
  rmSync(path('mixed', 'a.jpg'));
  expect(rass('degrade', path('mixed'), '--out', path('none')).stderr).toContain(
    `${path('mixed')}: a folder has images, .jpg, .png or .webp; got ${unread}; convert them`,
  );
});

it('keeps transparency in what is written, or lays on the colour that is asked for', async () => {
  const size = { width: 40, height: 30 };
  const alpha = new Uint8Array(1200).map((_, i) => (i % 40 < 20 ? 0 : 255));
  const data = new Uint8Array(3600).map((_, i) => [0, 255, 0][i % 3]!);
  writeFileSync(path('a.png'), encodePng({ ...size, data, alpha }));
  expect(rass('degrade', path('a.png'), '--out', path('kept')).status).toBe(0);
  const kept = await decodeImage(readFileSync(path('kept', 'a.png')), { background: 'keep' });
  expect(kept.alpha).toEqual(alpha);
  expect(rass('degrade', path('a.png'), '--out', path('red'), '--background', '#ff0000').status).toBe(0);
  const red = await decodeImage(readFileSync(path('red', 'a.png')), { background: 'keep' });
  expect(red.alpha).toBeUndefined();
  // The left side was transparent green.
  const left = [0, 1, 2].map((c) => red.data[3 * (15 * 40 + 5) + c]!);
  expect([left[0]! > 180, left[1]! < 90, left[2]! < 90]).toEqual([true, true, true]);
  expect(rass('degrade', path('a.png'), '--out', path('x'), '--background', 'red').stderr).toContain(
    'It is red, green and blue in six digits, such as "#ffffff".',
  );
});

it('stops at once where results cannot be written, and names the place', () => {
  for (const name of ['a', 'b', 'c']) photograph('in', `${name}.jpg`);
  writeFileSync(path('file'), 'a file');
  const below = rass('degrade', path('in'), '--out', path('file', 'out'));
  expect([below.status, below.stdout, below.stderr]).toEqual([
    1,
    '',
    expect.stringContaining(
      `${path('file', 'out')}: results are written there; got a file at ${path('file')}; make room`,
    ),
  ]);
  // A limit on the size of files stands for a disk that is full: the first picture does not fit.
  const command = `ulimit -f 8; exec '${process.execPath}' '${MAIN}' degrade '${path('in')}' --out '${path('full')}'`;
  const full = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  expect([full.status, full.stdout]).toEqual([1, '']);
  expect(full.stderr.trim().split('\n')).toEqual([
    `degrade 1 of 3 ${path('in', 'a.jpg')}`,
    expect.stringMatching(/^.*\/full: results are written there; got EFBIG.*; make room, or name another folder$/),
  ]);
  expect(globSync('**/*.tmp', { cwd: path('full') })).toEqual([]);
});

it('goes on where one image’s results alone cannot be written, and says which', () => {
  const long = `${'n'.repeat(240)}.jpg`;
  photograph('in', long);
  for (const name of ['a', 'b']) photograph('in', `${name}.jpg`);
  mkdirSync(path('out', 'a.png', 'in it'), { recursive: true });
  const { status, stdout, stderr } = rass('degrade', path('in'), '--out', path('out'));
  expect([status, stdout.split(',')[0]]).toEqual([1, '2 of 3 images done']);
  expect(stderr).toMatch(/^.*\/in\/a\.jpg: its results can be written; got EISDIR.*; rename it, or see what lies in/m);
  expect(written('out')).toEqual(['a.png', 'b.png', `${'n'.repeat(240)}.png`]);
});

it('names results of listed images by their paths, whatever else is asked for', () => {
  const [one, two] = [photograph('q', 'b.jpg'), photograph('q', 'deep', 'b.jpg')];
  const other = photograph('other', 'q', 'b.jpg');
  const run = (input: string[], ...given: string[]) =>
    spawnSync(
      process.execPath,
      [MAIN, 'degrade', ...given, '--list', '-', '--out', path('out'), '--skip-existing'],
      { input: input.join('\n'), cwd: path('q'), encoding: 'utf8' },
    ).stdout.split(/, |:/); // biome-ignore format: one line
  expect(run([two])[0]).toBe('1 of 1 images done');
  expect(written('out')).toEqual(['deep/b.png']);
  // A folder with what is in it, as find prints them without -type f.
  expect(run([path('q'), one, two]).slice(0, 2)).toEqual(['1 of 2 images done', '1 were there']);
  expect(written('out')).toEqual(['b.png', 'deep/b.png']);
  // One from elsewhere keeps its whole path; one that is given, and would be called like a listed one, does then, too.
  const [given, outside] = [path('given', 'b.jpg'), other].map((each) => each.slice(1).replace('.jpg', '.png'));
  expect(run([one, two, other], photograph('given', 'b.jpg')).slice(0, 2)).toEqual(['2 of 4 images done', '2 were there']); // biome-ignore format: one line
  expect(written('out')).toEqual(['b.png', 'deep/b.png', given, outside].sort());
});

it('says what a demo leaves out of its photographs', () => {
  photograph('mixed', 'a.jpg');
  writeFileSync(path('mixed', 'b.heic'), 'ftypheic');
  const to = ['--model', path('nothing'), '--out', path('demo.html')];
  const { status, stderr } = rass('demo', '--photographs', path('mixed'), ...to);
  expect(status).toBe(1);
  expect(stderr).toContain(`${path('mixed')}: 1 images are in formats that are not read: b.heic; convert them`);
});
