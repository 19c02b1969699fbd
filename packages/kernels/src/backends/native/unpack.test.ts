import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unpackWheel, wheelMetadata } from './unpack.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-unpack-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function wheel(files: Record<string, string>): string {
  const path = join(folder, 'x.whl');
  writeFileSync(path, zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, strToU8(text)]))));
  return path;
}

describe('unpackWheel', () => {
  it('unpacks libraries, headers and notices, and leaves the Python program packed', async () => {
    const path = wheel({
      'tensorflow/libtensorflow_cc.so.2': 'library',
      'tensorflow/libtensorflow_framework.so.2': 'framework',
      'tensorflow/THIRD_PARTY_NOTICES.txt': 'notices',
      'tensorflow/include/tensorflow/c/c_api.h': 'header',
      'tensorflow/include/Eigen/Core': 'eigen',
      'tensorflow/python/big.so': 'python',
      'nvidia/cublas/lib/libcublas.so.12': 'cublas',
      'nvidia/cublas/include/cublas.h': 'cublas header',
      'x-1.dist-info/License.txt': 'licence',
      'x-1.dist-info/RECORD': 'record',
    });
    const out = join(folder, 'out');
    let bytes = 0;
    const names = await unpackWheel(path, out, (count) => {
      bytes += count;
    });
    expect(names.sort()).toEqual([
      'nvidia/cublas/lib/libcublas.so.12',
      'tensorflow/THIRD_PARTY_NOTICES.txt',
      'tensorflow/include/tensorflow/c/c_api.h',
      'tensorflow/libtensorflow_cc.so.2',
      'tensorflow/libtensorflow_framework.so.2',
      'x-1.dist-info/License.txt',
    ]);
    expect(readFileSync(join(out, 'tensorflow/libtensorflow_cc.so.2'), 'utf8')).toBe('library');
    expect(bytes).toBe('libraryframeworknoticesheadercublaslicence'.length);
    expect(existsSync(join(out, 'tensorflow/python'))).toBe(false);
  });

  it('refuses a damaged file inside', async () => {
    const path = join(folder, 'x.whl');
    const stored = zipSync({ 'tensorflow/libtensorflow_cc.so.2': [strToU8('AAAAAAAAAAAAAAAA'), { level: 0 }] });
    const damaged = Buffer.from(stored);
    damaged[damaged.indexOf('AAAA') + 2] = 0x42;
    writeFileSync(path, damaged);
    await expect(unpackWheel(path, join(folder, 'out'), () => {})).rejects.toThrow(
      'backend install: a packed file must match its checksum; "tensorflow/libtensorflow_cc.so.2" does not; fetch the wheel again',
    );
  });

  it('writes nothing outside its folder', async () => {
    const stored = Buffer.from(zipSync({ 'nvidia/aaaaaaaa/../evil.so': strToU8('x') }));
    writeFileSync(join(folder, 'x.whl'), stored);
    await expect(unpackWheel(join(folder, 'x.whl'), join(folder, 'out'), () => {})).rejects.toThrow(
      /invalid relative path/,
    );
    expect(readdirSync(folder)).toEqual(['x.whl']);
  });

  it('refuses a file that is no zip', async () => {
    writeFileSync(join(folder, 'x.whl'), 'not a zip');
    await expect(unpackWheel(join(folder, 'x.whl'), join(folder, 'out'), () => {})).rejects.toThrow(
      /^backend install: a wheel must be a zip file; ".*x\.whl" cannot be read \(.*\); fetch it again$/,
    );
  });

  it('reads METADATA, and says when there is none', async () => {
    const path = wheel({ 'x-1.dist-info/METADATA': 'Name: x' });
    expect(await wheelMetadata(path)).toBe('Name: x');
    const empty = wheel({ 'x/readme': '' });
    await expect(wheelMetadata(empty)).rejects.toThrow(/a wheel must hold METADATA; ".*" has none/);
  });
});
