import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeOnBackends } from '@rass/testkit';
import { backend, engine, getBackend, grad, matMul, sum, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { BackendError } from './errors.ts';
import { listBackends } from './list.ts';
import { trimBackendMemory } from './memory.ts';
import { loadPeer } from './packages.ts';
import { selectBackend } from './select.ts';
import type { BackendName } from './types.ts';

let empty: string;
beforeAll(() => {
  empty = mkdtempSync(join(tmpdir(), 'rass-select-'));
  vi.stubEnv('RASS_NATIVE_ADDON', '');
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(empty, { recursive: true, force: true });
});

describeOnBackends('selectBackend', (name) => {
  it('makes it the current backend, describes it, and computes values and gradients on it', async () => {
    const info = await selectBackend(name);
    expect(info).toMatchObject({ name, engineName: getBackend(), version: expect.stringMatching(/^\d+\.\d+/) });
    expect(info.engineName).toBe(name === 'native' ? 'tensorflow' : name);
    const x = tensor2d([1, 2, 3, 4], [2, 2]);
    expect([...(await matMul(x, x).data())]).toEqual([7, 10, 15, 22]);
    const gradient = grad((m) => sum(matMul(m as Tensor2D, m as Tensor2D)))(x);
    expect([...(await gradient.data())]).toEqual([7, 11, 9, 13]);
  });

  it('keeps the backend and its tensors when it is selected again', async () => {
    await selectBackend(name);
    const before = backend();
    const x = tensor2d([1, 2, 3, 4], [2, 2]);
    await selectBackend(name);
    expect(backend()).toBe(before);
    expect([...(await x.data())]).toEqual([1, 2, 3, 4]);
    expect(trimBackendMemory()).toBeGreaterThanOrEqual(0);
  });
});

describe('auto', () => {
  it('takes native TensorFlow where it is installed', async () => {
    if (inject('backends').includes('native')) expect((await selectBackend()).name).toBe('native');
  });

  it('passes over a software GPU to wasm', async () => {
    const statuses = await listBackends({ cacheDir: empty });
    const hardware = statuses.some(
      (status) => status.available && status.name === 'webgpu' && !status.capabilities.software,
    );
    expect((await selectBackend('auto', { cacheDir: empty })).name).toBe(hardware ? 'webgpu' : 'wasm');
  });
});

describe('what cannot be had', () => {
  it('is refused by name, with what to do', async () => {
    const asked = selectBackend('native', { cacheDir: empty });
    await expect(asked).rejects.toThrow(
      /^native backend: .* needs its native addon; it was never built; run `rass backend install`$/,
    );
    await expect(asked).rejects.toMatchObject({ name: 'BackendError', code: 'not-built' });
    await expect(selectBackend('tpu' as BackendName)).rejects.toThrow(
      'selectBackend: the name must be auto, native, webgpu, wasm, cpu; got "tpu"; choose one of them',
    );
  });

  it('leaves the current backend as it was', async () => {
    await selectBackend('cpu');
    await selectBackend('native', { cacheDir: empty }).catch(() => {});
    expect(getBackend()).toBe('cpu');
  });

  it('names the package to install, and lets other failures of a package through', async () => {
    const missing = Object.assign(new Error("Cannot find package '@tensorflow/tfjs-backend-wasm' imported from x"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await expect(loadPeer('wasm', '@tensorflow/tfjs-backend-wasm', () => Promise.reject(missing))).rejects.toThrow(
      'wasm backend: the package @tensorflow/tfjs-backend-wasm must be installed; it is not found; run `npm install @tensorflow/tfjs-backend-wasm`',
    );
    const other = new Error('the package itself is broken');
    await expect(loadPeer('wasm', '@tensorflow/tfjs-backend-wasm', () => Promise.reject(other))).rejects.toBe(other);
  });

  it('says that a GPU driver is missing where Vulkan has none', () => {
    const script =
      "import { selectBackend } from '@rass/kernels'; await selectBackend('webgpu').catch((e) => console.log(e.code, e.message));";
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
      env: { ...process.env, VK_ICD_FILENAMES: '/nowhere/icd.json', VK_DRIVER_FILES: '/nowhere/icd.json' },
    });
    expect(run.stdout).toMatch(
      /^no-device webgpu backend: a GPU adapter must be there; none is offered; install a Vulkan driver \(Debian and Ubuntu: `apt-get install libvulkan1 mesa-vulkan-drivers`/,
    );
  });
});

describe('listBackends', () => {
  it('says of each what it can do or why not, without starting or choosing one', async () => {
    await selectBackend('cpu');
    const statuses = await listBackends({ cacheDir: empty });
    expect(statuses.map(({ name }) => name)).toEqual(['native', 'webgpu', 'wasm', 'cpu']);
    expect(statuses[0]).toEqual({
      name: 'native',
      available: false,
      reason: expect.stringContaining('rass backend install'),
    });
    expect(statuses[2]).toMatchObject({ available: true, capabilities: { simd: true, threads: 1 } });
    expect(statuses[3]).toMatchObject({ available: true, description: expect.stringContaining('plain JavaScript') });
    expect(getBackend()).toBe('cpu');
  });
});

describe('wasm', () => {
  it('throws when its 4 GiB are used up, where TensorFlow.js would write to address 0', async () => {
    await selectBackend('wasm');
    const wasm = backend() as unknown as {
      write: (values: null, shape: number[], dtype: 'float32') => object;
      disposeData: (dataId: object) => void;
    };
    const half = wasm.write(null, [550e6], 'float32');
    expect(() => wasm.write(null, [550e6], 'float32')).toThrow(
      `wasm: a tensor must fit into WebAssembly's 4 GiB; 2200000000 more bytes do not beside ${engine().state.numBytes}; ` +
        'dispose of tensors, work on smaller pieces, or choose another backend',
    );
    wasm.disposeData(half);
    const x = tensor2d([1, 2, 3, 4], [2, 2]);
    expect([...(await matMul(x, x).data())]).toEqual([7, 10, 15, 22]);
  });
});

it('BackendError is an Error with a code', () => {
  const error = new BackendError('not-built', 'text');
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toBe('BackendError: text');
});
