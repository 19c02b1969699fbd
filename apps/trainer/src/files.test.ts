import { existsSync } from 'node:fs';
import fs, { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkFolderPlace, checkResult, makeFolderBeside, parsedFile, readJsonFile, writeBeside } from './files.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rass-files-'));
});
afterEach(() => rm(root, { recursive: true }));

const fill = (text: string) => (folder: string) => writeFile(join(folder, 'a.txt'), text);

it('puts a folder in its place, with and without a slash at the end', async () => {
  for (const path of [join(root, 'one'), `${join(root, 'one')}/`, `${join(root, 'new')}/`]) {
    await makeFolderBeside(path, fill(path));
    expect(await readFile(join(path, 'a.txt'), 'utf8')).toBe(path);
  }
  expect((await readdir(root)).sort()).toEqual(['new', 'one']);
});

it('leaves what was there when it cannot be filled', async () => {
  const path = join(root, 'one');
  await makeFolderBeside(path, fill('old'));
  const failing = makeFolderBeside(path, async (folder) => {
    await fill('new')(folder);
    throw new Error('full');
  });
  await expect(failing).rejects.toThrow('full');
  expect(await readFile(join(path, 'a.txt'), 'utf8')).toBe('old');
  await expect(makeFolderBeside('.', fill('new'))).rejects.toThrow('got the current one; name one in it');
  expect(await readdir(root)).toEqual(['one']);
});

it('knows where a folder may be put', async () => {
  const own = { inputs: [join(root, 'model')], what: 'a model', isOwn: (name: string) => name === 'a.txt' };
  await mkdir(join(root, 'model'));
  await checkFolderPlace(join(root, 'new'), own);
  await makeFolderBeside(join(root, 'other'), fill('old'));
  await checkFolderPlace(`${join(root, 'other')}/`, own);
  await writeFile(join(root, 'other', 'b.txt'), '');
  for (const [out, message] of [
    [join(root, 'other'), 'a model is written into a new folder, or in place of another one; got one with b.txt in it'],
    [join(root, 'other', 'a.txt'), 'a model is a folder; got a file there; name another, or remove it'],
    [join(root, 'model', 'inside'), 'a model and what it is made of lie apart; got'],
    [root, 'a model and what it is made of lie apart; got'],
    [`${join(root, 'model')}/`, `a model and what it is made of lie apart; got ${join(root, 'model')}/ for both`],
  ] as const) {
    await expect(checkFolderPlace(out, own)).rejects.toThrow(`${out}: ${message}`);
  }
});

it('tells results from what they are made of', () => {
  checkResult('x', 'a/b.png', ['a/c.png', 'b']);
  expect(() => checkResult('x', './a/b.png', ['a/b.png'])).toThrow('got ./a/b.png for both; name another place');
  expect(() => checkResult('x', 'a/b.png', ['a/'])).toThrow('got a/b.png in a/; name another place');
});

it('says which file it could not read', async () => {
  const path = join(root, 'a.json');
  await writeBeside(path, '{"a": ');
  await expect(readJsonFile(path)).rejects.toThrow(`${path}: `);
  await expect(parsedFile(join(root, 'none'), String)).rejects.toThrow(
    `none: it is a file; got nothing; check the path`,
  );
  await expect(parsedFile(root, String)).rejects.toThrow(`${root}: it is a file; got a folder; check the path`);
});

/** A process number that nobody has. */
const DEAD = 2 ** 30;

it('removes what killed processes have left beside a place', async () => {
  const path = join(root, 'one');
  const left = join(root, `.one.${DEAD}-01234567.tmp`);
  await mkdir(left);
  await writeFile(join(left, 'big.safetensors'), 'x');
  const long = new Date(Date.now() - 120_000);
  await utimes(join(left, 'big.safetensors'), long, long);
  await utimes(left, long, long);
  await makeFolderBeside(path, fill('new'));
  expect(await readdir(root)).toEqual(['one']);
  const file = join(root, `.a.json.${DEAD}-01234567.tmp`);
  await writeFile(file, '');
  await utimes(file, long, long);
  await writeBeside(join(root, 'a.json'), '{}');
  expect((await readdir(root)).sort()).toEqual(['a.json', 'one']);
});

it('lists a folder once for all files that are written to it', async () => {
  const list = vi.spyOn(fs, 'readdir');
  syncBuiltinESMExports();
  try {
    for (let i = 0; i < 5; i++) await writeBeside(join(root, 'many', `${i}.json`), '{}');
    expect(list.mock.calls.filter(([folder]) => folder === join(root, 'many'))).toHaveLength(1);
  } finally {
    list.mockRestore();
    syncBuiltinESMExports();
  }
});

it('writes a file whose name leaves no room for a longer one', async () => {
  const path = join(root, `${'n'.repeat(250)}.json`);
  await writeBeside(path, '{}');
  await makeFolderBeside(join(root, 'f'.repeat(255)), fill('long'));
  await makeFolderBeside(join(root, 'f'.repeat(255)), fill('again'));
  expect(await readdir(root)).toEqual(['f'.repeat(255), `${'n'.repeat(250)}.json`]);
});

it('brings back what a process had moved aside when it was killed', async () => {
  const path = join(root, 'one');
  await makeFolderBeside(path, fill('old'));
  await rename(path, join(root, `.one.${DEAD}-01234567.old`));
  const failing = makeFolderBeside(path, async () => {
    throw new Error('stopped');
  });
  await expect(failing).rejects.toThrow('stopped');
  expect(await readFile(join(path, 'a.txt'), 'utf8')).toBe('old');
  expect(await readdir(root)).toEqual(['one']);
});

it.skipIf(!existsSync('/dev/full'))('names the place where the disk is full, or nothing can be written', async () => {
  const path = join(root, 'one');
  const full = makeFolderBeside(path, async () => {
    await writeFile('/dev/full', 'x');
  });
  await expect(full).rejects.toThrow(
    `${path}: it can be written; got a full disk; free some space, or name another place`,
  );
});
