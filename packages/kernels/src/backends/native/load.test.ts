import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { registerBackend, removeBackend } from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addonPath, cacheFolder, nativeFolder, readCurrent, writeCurrent } from './cache.ts';
import { isNativeInstalled } from './install.ts';
import {
  describeNative,
  findAddon,
  inspectNativeBackend,
  loadNativeBackend,
  NATIVE_BACKEND,
  openAddon,
  openFirst,
} from './load.ts';
import { bindingPackage, buildKey, packageFolder } from './sources.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-load-'));
  vi.stubEnv('RASS_NATIVE_ADDON', '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function codeAndText(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message}`;
  }
  return 'nothing was thrown';
}

describe('the cache folder', () => {
  it('is the argument, then RASS_CACHE, then the XDG folder', () => {
    vi.stubEnv('RASS_CACHE', '/from/rass');
    vi.stubEnv('XDG_CACHE_HOME', '/from/xdg');
    expect(cacheFolder('/given')).toBe('/given');
    expect(cacheFolder()).toBe('/from/rass');
    vi.stubEnv('RASS_CACHE', '');
    expect(nativeFolder()).toBe('/from/xdg/rass/native');
  });
});

describe('what is missing is told apart', () => {
  it('the npm package', () => {
    expect(codeAndText(() => bindingPackage(() => undefined))).toBe(
      'not-installed: native backend: the package @tensorflow/tfjs-node must be installed; it is not found; ' +
        'run `npm install --ignore-scripts @tensorflow/tfjs-node@4.22.0`, then `rass backend install`',
    );
  });

  it('the addon, never built', () => {
    expect(codeAndText(() => findAddon(folder))).toBe(
      'not-built: native backend: @tensorflow/tfjs-node needs its native addon; it was never built; run `rass backend install`',
    );
    expect(isNativeInstalled(folder)).toBe(false);
  });

  it('the addon, older than its sources', () => {
    const current = { id: 'tensorflow_cpu-2.16.2', libraryFolder: '/lib', version: '2.16.2', gpu: false };
    writeCurrent(current, folder);
    expect(readCurrent(folder)).toEqual(current);
    expect(codeAndText(() => findAddon(folder))).toMatch(
      /^not-built: .* needs its native addon; the one in the cache is older than its sources; run `rass backend install`$/,
    );
    const addon = addonPath(current.id, buildKey(bindingPackage()), folder);
    mkdirSync(join(addon, '..'), { recursive: true });
    writeFileSync(addon, '');
    expect(findAddon(folder)).toMatchObject({ addon, from: 'cache' });
    expect(isNativeInstalled(folder)).toBe(true);
  });

  it('the addon that RASS_NATIVE_ADDON names', () => {
    vi.stubEnv('RASS_NATIVE_ADDON', '/nowhere/a.node');
    expect(codeAndText(() => findAddon(folder))).toBe(
      'not-built: native backend: RASS_NATIVE_ADDON must name an addon file; "/nowhere/a.node" does not exist; unset it or correct it',
    );
    const addon = join(folder, 'own.node');
    writeFileSync(addon, '');
    vi.stubEnv('RASS_NATIVE_ADDON', addon);
    expect(findAddon(folder)).toMatchObject({ addon, from: 'environment' });
  });

  it('oneDNN, unless the environment says otherwise', () => {
    const addon = join(folder, 'broken.node');
    writeFileSync(addon, 'this is not a shared library');
    for (const [asked, got] of [
      [undefined, '1'],
      ['0', '0'],
    ]) {
      vi.stubEnv('TF_ENABLE_ONEDNN_OPTS', asked);
      codeAndText(() => openAddon(addon));
      expect(process.env['TF_ENABLE_ONEDNN_OPTS']).toBe(got);
    }
  });

  it("a library that the system cannot load, with the loader's own line", () => {
    const addon = join(folder, 'broken.node');
    writeFileSync(addon, 'this is not a shared library');
    expect(codeAndText(() => openAddon(addon))).toMatch(
      /^load-failed: native backend: the system must be able to load the addon; it said ".*broken\.node: (invalid ELF header|file too short)"; run `rass backend install --force`$/,
    );
  });
});

/** A package as npm installs it, with the addon that its own installer brings where `built`. */
function installed(name: string, built: boolean): string {
  const at = join(folder, name);
  cpSync(join(packageFolder('@tensorflow/tfjs-node')!, 'binding'), join(at, 'binding'), { recursive: true });
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name, version: '4.22.0' }));
  const addon = join(at, 'lib', 'napi-v8', 'tfjs_binding.node');
  mkdirSync(join(addon, '..'), { recursive: true });
  if (built) writeFileSync(addon, '');
  return at;
}

describe('which build is taken', () => {
  const [CPU, GPU] = ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'];

  it.each([
    { there: { [CPU]: true }, cached: undefined, taken: ['package', CPU] },
    { there: { [CPU]: true }, cached: 'cpu', taken: ['cache', CPU] },
    { there: { [GPU]: true }, cached: 'cpu', taken: ['package', GPU] },
    { there: { [CPU]: true, [GPU]: true }, cached: 'cpu', taken: ['package', GPU] },
    { there: { [CPU]: true, [GPU]: false }, cached: undefined, taken: ['package', CPU] },
    { there: { [CPU]: true, [GPU]: false }, cached: 'cpu', taken: ['cache', GPU] },
    { there: { [GPU]: true }, cached: 'gpu', taken: ['cache', GPU] },
    { there: { [CPU]: true }, cached: 'gpu', taken: ['cache', CPU] },
  ])('of $there beside one in the cache for $cached: $taken', ({ there, cached, taken }) => {
    const folders = Object.fromEntries(Object.entries(there).map(([name, built]) => [name, installed(name, built)]));
    const find = (name: string): string | undefined => folders[name];
    if (cached !== undefined) {
      const current = { id: `tensorflow-${cached}`, libraryFolder: '/lib', version: '2.16.2', gpu: cached === 'gpu' };
      writeCurrent(current, folder);
      const addon = addonPath(current.id, buildKey(bindingPackage(find)), folder);
      mkdirSync(join(addon, '..'), { recursive: true });
      writeFileSync(addon, '');
    }
    const { from, binding } = findAddon(folder, find);
    expect([from, binding.name]).toEqual(taken);
  });

  it('the next one, where the system cannot load the first, and says so', () => {
    const broken = { addon: join(installed(GPU, true), 'lib/napi-v8/tfjs_binding.node'), binding: bindingPackage(), from: 'package' as const }; // biome-ignore format: one line
    const whole = join(folder, 'whole.cjs');
    writeFileSync(whole, "module.exports = { TF_Version: '2.16.2' };");
    const { opened, binding, passedOver } = openFirst([broken, { ...broken, addon: whole, from: 'cache' }]);
    expect([opened.from, binding.TF_Version]).toEqual(['cache', '2.16.2']);
    expect(passedOver).toMatch(/must be able to load the addon; it said ".*tfjs_binding\.node: file too short"/);
    expect(() => openFirst([broken])).toThrow(/tfjs_binding\.node: file too short/);
    const info = { ...opened, version: '2.16.2', device: 'cpu' as const, passedOver };
    expect(describeNative(info).description).toMatch(/; a build that comes before it was passed over: native backend:/);
  });

  it('what a program has loaded by importing the package is used as it is, whatever the cache holds', () => {
    const refuse = (): never => {
      throw new Error('no such operation');
    };
    const binding = {
      TF_Version: '2.9.1',
      isUsingGpuDevice: () => true,
      createTensor: () => 1,
      deleteTensor: () => {},
      executeOp: refuse,
    };
    const backend = { binding, dispose: () => {} };
    registerBackend(NATIVE_BACKEND, () => backend as never, 3);
    try {
      const expected = { from: 'program', version: '2.9.1', device: 'gpu' };
      expect(inspectNativeBackend(folder)).toMatchObject(expected);
      const info = loadNativeBackend(folder);
      expect(info).toMatchObject(expected);
      expect(describeNative(info).description).toBe(
        'TensorFlow 2.9.1 on a CUDA GPU (the npm package that the program imports)',
      );
    } finally {
      removeBackend(NATIVE_BACKEND);
    }
  });

  it('says so where the program has registered one that does not start', () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const refuse = () => {
      throw new Error('no library');
    };
    for (const start of [refuse, () => new Promise<never>(() => {})]) {
      registerBackend(NATIVE_BACKEND, start, 3);
      try {
        expect(codeAndText(() => inspectNativeBackend(folder))).toMatch(
          /^load-failed: native backend: the backend "tensorflow" that the program has registered must start; it did not, .*; leave out the import/,
        );
      } finally {
        removeBackend(NATIVE_BACKEND);
      }
    }
    warn.mockRestore();
  });
});
