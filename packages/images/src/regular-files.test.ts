import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as files from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { encodePng } from './index.ts';
import { findImages, readImage, readLabels } from './node.ts';

vi.mock('node:fs/promises', { spy: true });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-regular-'));
  mkdirSync(join(folder, 'shut'));
  writeFileSync(join(folder, 'a.png'), encodePng({ width: 2, height: 1, data: new Uint8Array(6) }));
  writeFileSync(join(folder, 'shut', 'b.png'), encodePng({ width: 2, height: 1, data: new Uint8Array(6) }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.skipIf(process.platform === 'win32')('waits for no pipe and reads no folder or device', async () => {
  const pipe = join(folder, 'pipe.png');
  spawnSync('mkfifo', [pipe]);
  const refused = `${pipe}: an image is a file; got a pipe or a device; leave it out`;
  await expect(readImage(pipe)).rejects.toThrow(refused);
  await expect(readLabels(pipe)).rejects.toThrow(refused);
  await expect(readImage('/dev/zero')).rejects.toThrow('got a pipe or a device');
  await expect(readImage(folder)).rejects.toThrow(`${folder}: an image is a file; got a folder`);
  expect((await readImage(join(folder, 'a.png'))).width).toBe(2);
  await expect(readImage(join(folder, 'none.png'))).rejects.toThrow('ENOENT');
});

it('leaves out a folder that cannot be read, and says so', async () => {
  const shut = join(folder, 'shut');
  const { readdir } = await vi.importActual<typeof files>('node:fs/promises');
  vi.mocked(files.readdir).mockImplementation(((path: string, options: object) =>
    path === shut
      ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
      : readdir(path, options as { withFileTypes: true })) as unknown as typeof files.readdir);
  const line = `${shut}: a folder can be read; got EACCES; let it be read, or leave it out`;
  const lines: string[] = [];
  const { images: found } = await findImages(folder, { onUnreadable: (each) => lines.push(each) });
  expect([found.includes('a.png'), found.includes(join('shut', 'b.png')), lines]).toEqual([true, false, [line]]);
  await expect(findImages(folder)).rejects.toThrow(line);
  // What is asked for itself is no folder among others.
  await expect(findImages(shut, { onUnreadable: () => {} })).rejects.toThrow(line);
  vi.mocked(files.readdir).mockReset();
});
