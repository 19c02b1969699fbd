import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256OfFile } from '@rass/kernels/node';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkConverted, installOnce } from './install-once.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rass-once-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('converts once, and again what has changed since', async () => {
  const [archive, file] = [join(folder, 'a.tar.gz'), join(folder, 'a.safetensors')];
  await writeFile(archive, 'the archive');
  const pinned = { project: 'a', name: 'a.tar.gz', sha256: await sha256OfFile(archive) };
  let converted = 0;
  const install = () =>
    installOnce([file], pinned, { file: archive }, async () => {
      converted++;
      await writeFile(file, 'weights');
    });
  expect(await install()).toEqual({ files: [file], installed: true });
  expect(await install()).toEqual({ files: [file], installed: false });
  await checkConverted(file, 'a');
  await writeFile(file, 'others');
  await expect(checkConverted(file, 'a')).rejects.toThrow(
    `${file}: weights are as they were installed; got another hash; run rass weights install a`,
  );
  expect(await install()).toEqual({ files: [file], installed: true });
  expect(await readFile(file, 'utf8')).toBe('weights');
  expect(converted).toBe(2);
  // Of an older install, which left no hash beside it.
  await rm(`${file}.sha256`);
  await writeFile(file, 'others');
  expect(await install()).toEqual({ files: [file], installed: false });
  expect((await readdir(folder)).sort()).toEqual(['a.safetensors', 'a.tar.gz']);
});
