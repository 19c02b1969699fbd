import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromiumExecutable, closeBrowsers, runInChromium } from '@rass/testkit/browser';
import { afterAll, describe, expect, it } from 'vitest';
import type { BackendInfo, BackendStatus } from './types.ts';
import { wasmFolder } from './wasm-folder.ts';

const WASM_FILES = ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm', 'tfjs-backend-wasm-threaded-simd.wasm'];

const THREAD_SCRIPT = 'tfjs-backend-wasm-threaded-simd.js';

const files = Object.fromEntries(WASM_FILES.map((name) => [`/wasm/${name}`, readFileSync(wasmFolder() + name)]));
const options = { resolveFrom: fileURLToPath(new URL('../..', import.meta.url)), files };

/** A page that selects a backend, then computes [1 2; 3 4] squared and the gradient of its sum. */
function page(select: string, cores = 4): string {
  return `
    import { listBackends, selectBackend } from '@rass/kernels';
    import { grad, matMul, sum, tensor2d } from '@tensorflow/tfjs-core';
    export default async function () {
      Object.defineProperty(navigator, 'hardwareConcurrency', { value: ${cores} });
      const wasm = { paths: '/wasm/' };
      const info = await selectBackend(${select});
      const x = tensor2d([1, 2, 3, 4], [2, 2]);
      const square = (m) => sum(matMul(m, m));
      const values = [...await matMul(x, x).data()];
      const gradient = [...await grad(square)(x).data()];
      return { info, values, gradient, listed: await listBackends() };
    }`;
}

interface Result {
  info: BackendInfo;
  values: number[];
  gradient: number[];
  listed: BackendStatus[];
}

function expectNumbers({ values, gradient }: Result): void {
  expect(values).toEqual([7, 10, 15, 22]);
  expect(gradient).toEqual([7, 11, 9, 13]);
}

describe.skipIf(chromiumExecutable() === undefined)('in Chromium', () => {
  afterAll(closeBrowsers);

  it('computes on WebGPU, on a device of our own', async () => {
    const result = await runInChromium<Result>(page("'webgpu'"), options);
    expectNumbers(result);
    expect(result.info).toMatchObject({ name: 'webgpu', capabilities: { software: true } });
    expect(result.info.capabilities.limits!['maxStorageBuffersPerShaderStage']).toBeGreaterThan(8);
  });

  it('throws for a tensor over the limits, and for a failed command at the read', async () => {
    const script = `
      import { selectBackend } from '@rass/kernels';
      import { add, backend, gather, sqrt, tensor1d, zeros } from '@tensorflow/tfjs-core';
      const text = async (action) => { try { return String(await action()); } catch (error) { return error.message; } };
      export default async function () {
        await selectBackend('webgpu', { webgpu: { limits: { maxStorageBufferBindingSize: 4096 } } });
        const limit = await text(() => gather(zeros([100, 100]), tensor1d([1], 'int32')).data());
        const x = add(tensor1d([4]), 0);
        backend().tensorMap.get(x.dataId).resource.destroy();
        const later = await text(() => sqrt(x).data());
        return { limit, later, sync: await text(() => add(tensor1d([4]), 0).dataSync()) };
      }`;
    const result = await runInChromium<{ limit: string; later: string; sync: string }>(script, options);
    expect(result.limit).toMatch(/^webgpu GatherV2: a tensor must fit into 4 KiB .* takes 39.1 KiB; /);
    expect(result.later).toMatch(
      /^webgpu: the device must accept every command; among Add, Sqrt it reported ".*destroyed/,
    );
    expect(result.sync).toMatch(/^webgpu: a synchronous read cannot tell/);
  });

  it('computes on wasm with SIMD, one thread on a plain page', async () => {
    const result = await runInChromium<Result>(page("'wasm', { wasm }"), options);
    expectNumbers(result);
    expect(result.info).toMatchObject({ name: 'wasm', capabilities: { simd: true, threads: 1 } });
  });

  it('uses threads on a cross-origin isolated page', async () => {
    const isolated = { ...options, isolated: true };
    const half = await runInChromium<Result>(page("'wasm', { wasm }", 8), isolated);
    expectNumbers(half);
    expect(half.info.capabilities.threads).toBe(4);
    const two = await runInChromium<Result>(page("'wasm', { wasm: { ...wasm, threads: 2 } }", 8), isolated);
    expectNumbers(two);
    expect(two.info.capabilities.threads).toBe(2);
  });

  it('does without threads in a minified bundle where their script is not served, and says why', async () => {
    const isolated = { ...options, isolated: true, minify: true };
    const result = await runInChromium<Result>(page("'wasm', { wasm }"), isolated);
    expectNumbers(result);
    expect(result.info.capabilities).toMatchObject({
      threads: 1,
      threadsReason: expect.stringContaining(
        `a minified bundle needs ${THREAD_SCRIPT}; serve it beside the .wasm files`,
      ),
    });
  });

  it('uses threads in a minified bundle where their script is served', async () => {
    const script = { [`/wasm/${THREAD_SCRIPT}`]: readFileSync(`${wasmFolder()}../wasm-out/${THREAD_SCRIPT}`) };
    const isolated = { ...options, isolated: true, minify: true, files: { ...files, ...script } };
    const result = await runInChromium<Result>(page("'wasm', { wasm }", 8), isolated);
    expectNumbers(result);
    expect(result.info.capabilities).toMatchObject({ threads: 4 });
    // Blobs' workers are forbidden: one thread computes, and says so.
    const policy = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
    const forbidden = await runInChromium<Result>(page("'wasm', { wasm }", 8), { ...isolated, policy });
    expectNumbers(forbidden);
    expect(forbidden.info.capabilities.threads).toBe(1);
    expect(forbidden.info.capabilities.threadsReason).toMatch(/worker/i);
  });

  it("says that the page's policy forbids WebAssembly", async () => {
    const policy = "script-src 'self'";
    await expect(runInChromium(page("'wasm', { wasm }"), { ...options, policy })).rejects.toThrow(
      /wasm backend: the page's policy must allow WebAssembly; the browser said ".*"; add 'wasm-unsafe-eval' to script-src/,
    );
    const { info } = await runInChromium<Result>(page("'auto', { wasm }"), { ...options, policy });
    expect(info.name).toBe('cpu');
    expect(info.passedOver).toContainEqual({ name: 'wasm', code: 'blocked', reason: expect.stringContaining("'wasm-unsafe-eval'") }); // biome-ignore format: one line
  });

  it('says where the .wasm files should be when they are not served', async () => {
    const wrong = page("'wasm', { wasm: { paths: '/nowhere/' } }");
    await expect(runInChromium(wrong, options)).rejects.toThrow(
      /wasm backend: its \.wasm files must be readable; looked "\/nowhere\/" \(.*tfjs-backend-wasm-simd.wasm: status 404\).*say where with the option wasm\.paths/,
    );
    const html = { ...options, files: { '/wasm/tfjs-backend-wasm-simd.wasm': new TextEncoder().encode('<!doctype html>') } }; // biome-ignore format: one line
    await expect(runInChromium(page("'wasm', { wasm }"), html)).rejects.toThrow(/application\/wasm, .*magic/);
    const { info } = await runInChromium<Result>(page("'auto', { wasm }"), html);
    expect(info.passedOver).toContainEqual({ name: 'wasm', code: 'load-failed', reason: expect.stringContaining('magic') }); // biome-ignore format: one line
  });

  it('asks again for a .wasm file whose connection breaks', async () => {
    const once = page("'wasm', { wasm }").replace(
      'const wasm =',
      `const get = globalThis.fetch;
      let breaks = 2;
      globalThis.fetch = (...of) => (breaks-- > 0 ? Promise.reject(new TypeError('Failed to fetch')) : get(...of));
      const wasm =`,
    );
    expectNumbers(await runInChromium<Result>(once, options));
  });

  it('auto passes over SwiftShader and takes wasm; native is refused by name', async () => {
    const result = await runInChromium<Result>(page("'auto', { wasm }"), options);
    expectNumbers(result);
    expect(result.info.name).toBe('wasm');
    const [native, webgpu, wasm, cpu] = result.listed;
    expect(native).toMatchObject({
      available: false,
      reason: expect.stringContaining('it runs in Node; this is a browser'),
    });
    expect(webgpu).toMatchObject({ available: true, capabilities: { software: true } });
    expect(wasm).toMatchObject({ available: true });
    expect(cpu).toMatchObject({ available: true });
  });

  it('an explicit webgpu is an error where the browser has no adapter', async () => {
    await expect(runInChromium(page("'webgpu'"), { ...options, withoutWebgpu: true })).rejects.toThrow(
      /webgpu backend: a GPU adapter must be there; none is offered; enable the browser's hardware acceleration/,
    );
  });
});
