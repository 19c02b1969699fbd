import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addonPath, cacheFolder, nativeFolder, readCurrent, writeCurrent } from './cache.ts';
import { isNativeInstalled } from './install.ts';
import { findAddon, openAddon } from './load.ts';
import { bindingPackage, buildKey } from './sources.ts';

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
