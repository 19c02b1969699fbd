import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { nativeFolder, readCurrent } from './cache.ts';
import { checkPlatform, type InstallOptions, installNativeBackend, isNativeInstalled } from './install.ts';
import { checkSpace } from './library.ts';
import { pinnedRequirement } from './pins.ts';
import { findPip, pipDownload } from './pip.ts';
import type { InstallProgress } from './progress.ts';

const PINNED = 'tensorflow_cpu-2.16.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl';

let folder: string;
let cacheDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-install-'));
  cacheDir = join(folder, 'cache');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** A wheel with the right names inside and nothing that works. */
function fakeWheel(name: string, more: Record<string, string> = {}): string {
  const files = {
    'tensorflow/libtensorflow_cc.so.2': 'no library',
    'tensorflow/libtensorflow_framework.so.2': 'no library',
    'tensorflow/include/tensorflow/c/c_api.h': '#error a header that does not compile\n',
    ...more,
  };
  const path = join(folder, name);
  writeFileSync(path, zipSync(Object.fromEntries(Object.entries(files).map(([file, text]) => [file, strToU8(text)]))));
  return path;
}

const install = (options: InstallOptions) => installNativeBackend({ cacheDir, ...options });

describe('installNativeBackend says what to do when', () => {
  it('the system is another', () => {
    expect(() => checkPlatform('darwin', 'arm64')).toThrow(
      'backend install: the native backend is built on Linux x64; this is darwin arm64; use the webgpu or wasm backend',
    );
    expect(() => checkPlatform('linux', 'x64')).not.toThrow();
  });

  it('the disk is full', () => {
    expect(() => checkSpace('/cache', false, { bavail: 100, bsize: 1e6 })).toThrow(
      'backend install: 1.2 GB must be free for the download and the library; "/cache" has 0.1 GB; ' +
        'free some, or name another cache with --cache-dir or RASS_CACHE',
    );
    expect(() => checkSpace('/cache', false, { bavail: 2000, bsize: 1e6 })).not.toThrow();
    expect(() => checkSpace('/cache', true, { bavail: 2000, bsize: 1e6 })).toThrow(/12\.0 GB must be free/);
  });

  it('it is offline and has no library', async () => {
    await expect(install({ offline: true })).rejects.toThrow(
      'backend install: offline, the library must be at hand; tensorflow-cpu 2.16.2 is not in the cache; ' +
        'pass --wheel with a wheel file or --library-dir with an unpacked one',
    );
    await expect(install({ offline: true, gpu: true })).rejects.toThrow(/tensorflow 2\.21\.0 is not in the cache/);
  });

  it('there is no compiler', async () => {
    vi.stubEnv('CXX', '/nowhere/g++');
    await expect(install({ offline: true })).rejects.toThrow(
      'backend install: building the addon takes a C++17 compiler; none of /nowhere/g++ runs; install g++',
    );
  });

  it('the wheel is missing, or another file under the pinned name', async () => {
    await expect(install({ wheel: '/nowhere/x.whl' })).rejects.toThrow(
      'backend install: --wheel must name a file; "/nowhere/x.whl" does not exist',
    );
    await expect(install({ wheel: fakeWheel(PINNED) })).rejects.toThrow(
      `backend install: ${PINNED} must have SHA-256 c855cb6bf05d32dd5928086b03a5f6b4189b63c22b95e017703cbee4291023ca; got `,
    );
    expect(readdirSync(nativeFolder(cacheDir))).toEqual([]);
  });

  it.each([
    'tensorflow_cpu-2.16.2-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
    'tensorflow_cpu-2.16.2-py3-none-linux_x86_64.whl',
    'tensorflow_cpu-2.16.2.0-cp311-cp311-linux_x86_64.whl',
    'tensorflow_cpu-2.16.2+mine-cp311-cp311-linux_x86_64.whl',
    'Tensorflow.CPU-2.16.2-cp312-cp312-linux_x86_64.whl',
    'tensorflow-2.21.0-7-cp311-cp311-manylinux_2_27_x86_64.whl',
  ])('the wheel is of a pinned version and has another content: %s', async (name) => {
    await expect(install({ wheel: fakeWheel(name) })).rejects.toThrow(`backend install: ${name} must have SHA-256 `);
    expect(readdirSync(nativeFolder(cacheDir))).toEqual([]);
  });

  it('a library of NVIDIA is of a pinned version and has another content', async () => {
    const name = 'nvidia_cudnn_cu12-9.28.0.42-1-py3-none-manylinux_2_27_x86_64.whl';
    const wheel = [fakeWheel('tensorflow-9.9-py3-none-linux_x86_64.whl'), fakeWheel(name)];
    await expect(install({ gpu: true, wheel })).rejects.toThrow(`backend install: ${name} must have SHA-256 9ff58b7f`);
    const asked = { project: 'nvidia-cudnn-cu12', specifier: '<10.0,>=9.3.0.75' };
    expect(pinnedRequirement(asked)).toEqual({ project: 'nvidia-cudnn-cu12', specifier: '==9.28.0.42' });
    expect(pinnedRequirement({ ...asked, specifier: '>=10' })).toEqual({ ...asked, specifier: '>=10' });
  });

  it('removes what killed installs have left, and takes a library that was whole in one', async () => {
    const root = nativeFolder(cacheDir);
    const wheel = fakeWheel('tensorflow_cpu-9.9-py3-none-linux_x86_64.whl');
    await expect(install({ wheel })).rejects.toThrow('must compile');
    // Killed between the two renames: the old one is aside, the new one not in its place.
    mkdirSync(join(root, '.staging-killed'));
    renameSync(join(root, 'tensorflow_cpu-9.9'), join(root, '.staging-killed', 'unpacked'));
    mkdirSync(join(root, '.staging-empty', 'unpacked'), { recursive: true });
    rmSync(wheel);
    writeFileSync(wheel, 'no wheel');
    await expect(install({ wheel })).rejects.toThrow('must compile');
    expect(readdirSync(root).filter((name) => !name.startsWith('.lock'))).toEqual(['tensorflow_cpu-9.9']);
  });

  it('the library folder is not one', async () => {
    mkdirSync(join(folder, 'lib'));
    await expect(install({ libraryDir: join(folder, 'lib') })).rejects.toThrow(
      /^backend install: a library folder must be a wheel's unpacked tensorflow\/; ".*lib" lacks libtensorflow_cc\.so\.2, libtensorflow_framework\.so\.2, include\/tensorflow\/c\/c_api\.h; name the folder that has them$/,
    );
  });

  it('a wheel has other files than it should', async () => {
    const path = join(folder, 'tensorflow_cpu-9.9-py3-none-linux_x86_64.whl');
    writeFileSync(path, zipSync({ 'tensorflow/other.txt': strToU8('x') }));
    await expect(install({ wheel: path })).rejects.toThrow(
      /a library folder must be a wheel's unpacked tensorflow\/; .* lacks/,
    );
    expect(readdirSync(nativeFolder(cacheDir))).toEqual([]);
  });

  it('the sources do not compile, with the first errors of the compiler', async () => {
    const wheel = fakeWheel('tensorflow_cpu-9.9-py3-none-linux_x86_64.whl');
    await expect(install({ wheel })).rejects.toThrow(
      /^backend install: .*\.cc must compile; .* ended with status 1:\n[\s\S]*error/,
    );
    expect(isNativeInstalled(cacheDir)).toBe(false);
    expect(readCurrent(cacheDir)).toBeUndefined();
    const library = join(nativeFolder(cacheDir), 'tensorflow_cpu-9.9');
    expect(readdirSync(library).filter((name) => name.startsWith('.build'))).toEqual([]);
    expect(JSON.parse(readFileSync(join(library, 'complete.json'), 'utf8'))).toMatchObject({ version: '9.9' });
  });
});

/** Installs a version from an index of one wheel, whose content is none that is pinned. */
async function installFetched(options: InstallOptions, name: string): Promise<string> {
  const [project, version] = name.split('-') as [string, string];
  const wheel = readFileSync(
    fakeWheel(name, { [`${project}-${version}.dist-info/METADATA`]: 'Metadata-Version: 2.1\n' }),
  );
  const hashes = { sha256: createHash('sha256').update(wheel).digest('hex') };
  const server = createServer(({ url }, response) => {
    if (url === '/w.whl') return response.end(wheel);
    response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
    return response.end(JSON.stringify({ files: [{ filename: name, url: '/w.whl', hashes }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const indexUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await install({ ...options, version, downloader: 'direct', indexUrl });
  } catch (error) {
    return (error as Error).message;
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return 'installed';
}

describe('a wheel that an index gives', () => {
  it.each<[InstallOptions, string]>([
    [{}, 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl'],
    [{ gpu: true }, 'tensorflow-2.16.2-cp311-cp311-manylinux_2_17_x86_64.whl'],
  ])('is unpacked where only the other build of its version is pinned: %j', async (options, name) => {
    expect(await installFetched(options, name)).toContain('must compile');
  });

  it('is refused where its own build is pinned, whatever its name is', async () => {
    expect(await installFetched({}, PINNED)).toContain('must have SHA-256 c855cb6bf05d32dd');
    const other = 'tensorflow-2.16.2-cp311-cp311-manylinux_2_17_x86_64.whl';
    expect(await installFetched({}, other)).toContain('must have SHA-256 of one of the pinned wheels; got ');
  });
});

/** A real wheel for pip, without a network: pip takes it from a folder. */
const pip = await findPip();
describe.skipIf(pip === undefined)('pipDownload', () => {
  it("takes wheels by the user's own pip settings, and passes pip's words on when it cannot", async () => {
    const name = 'rass_test_wheel-1.0-py3-none-any.whl';
    const dist = 'rass_test_wheel-1.0.dist-info';
    mkdirSync(join(folder, 'links'));
    const files = {
      [`${dist}/METADATA`]: 'Metadata-Version: 2.1\nName: rass-test-wheel\nVersion: 1.0\n',
      [`${dist}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
      [`${dist}/RECORD`]: '',
    };
    const zip = zipSync(Object.fromEntries(Object.entries(files).map(([file, text]) => [file, strToU8(text)])));
    writeFileSync(join(folder, 'links', name), zip);
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', join(folder, 'links'));
    const target = join(folder, 'target');
    mkdirSync(target);
    const wheels = await pipDownload(pip!, ['rass-test-wheel==1.0'], target);
    expect(wheels.map((wheel) => basename(wheel))).toEqual([name]);
    expect(existsSync(wheels[0]!)).toBe(true);
    await expect(pipDownload(pip!, ['rass-test-wheel==2.0'], target)).rejects.toThrow(
      /^backend install: pip must find rass-test-wheel==2\.0; it ended with status 1: .*No matching distribution.*; check the network/,
    );
  });
});

describe.skipIf(!inject('backends').includes('native'))('with the library of this machine', () => {
  it('builds the addon, runs it, and does not do it again', { timeout: 300_000 }, async () => {
    vi.stubEnv('CXXFLAGS', '-O0');
    const { libraryFolder } = readCurrent()!;
    const progress: InstallProgress[] = [];
    const first = await install({
      libraryDir: libraryFolder,
      offline: true,
      onProgress: (step) => progress.push(step),
    });
    expect(first).toMatchObject({ version: expect.stringMatching(/^2\.\d+\.\d+/), device: 'cpu', built: true });
    expect(first.addon.startsWith(cacheDir)).toBe(true);
    const stages = [...new Set(progress.map(({ stage }) => stage))];
    expect(stages).toEqual(['compile', 'verify']);
    expect(progress.filter(({ stage }) => stage === 'compile').at(-1)).toMatchObject({ done: expect.any(Number) });
    expect(isNativeInstalled(cacheDir)).toBe(true);

    const second = await install({ libraryDir: libraryFolder, offline: true });
    expect(second).toMatchObject({ addon: first.addon, built: false });
    rmSync(first.addon);
    expect(isNativeInstalled(cacheDir)).toBe(false);
  });
});
