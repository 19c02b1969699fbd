import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { activateBackend } from '@rass/testkit';
import { chromiumExecutable, closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { blobFolder, type Manifest, makeManifest } from '@rass/weights';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { smallModelFiles } from '../../../packages/pipeline/src/small-model.test-support.ts';
import { buildRuntime, type Site, serveSite, writeFiles } from './site.test-support.ts';

const PIECE = 64 << 10;
/** Software compiles hundreds of shaders. */
const TIME = 300_000;
const UNET = 'unet/diffusion_pytorch_model.safetensors';

/** Before the worker's own script: counts what lives on the GPU, and tells it with every answer; and loses the GPU when it is told to. */
const WATCHED = `
  const live = { buffers: 0, bytes: 0, programs: 0 };
  const devices = [];
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...of) {
    const device = await requestDevice.apply(this, of);
    devices.push(device);
    return device;
  };
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (of) {
    live.buffers += 1;
    live.bytes += of.size;
    return createBuffer.call(this, of);
  };
  const { createComputePipeline } = GPUDevice.prototype;
  GPUDevice.prototype.createComputePipeline = function (of) {
    live.programs += 1;
    return createComputePipeline.call(this, of);
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    live.buffers -= 1;
    live.bytes -= this.size;
    destroy.call(this);
  };
  const post = postMessage;
  globalThis.postMessage = (message, transfer) => post(message.kind === 'done' ? { ...message, live: { ...live } } : message, transfer);
  addEventListener('message', ({ data }) => {
    if (data === 'lose the GPU') for (const device of devices.splice(0)) device.destroy();
  });`;

/** What the scripts of all tests here have: the runtime, images, what its workers say, and errors as they can be sent. */
const start = (workerFile: string): string => `
  globalThis.workers = [];
  globalThis.heard = [];
  const watch = (worker) => {
    workers.push(worker);
    worker.addEventListener('message', ({ data }) => heard.push(data));
    return worker;
  };
  const Plain = Worker;
  globalThis.Worker = class extends Plain { constructor(...of) { super(...of); watch(this); } };
  globalThis.watched = () => {
    const script = 'import ' + JSON.stringify(new URL('${workerFile}', location.href)) + ';' + ${JSON.stringify(WATCHED)};
    return watch(new Plain(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' }));
  };
  globalThis.image = (width, height) => {
    const made = new ImageData(width, height);
    made.data.forEach((_, i) => { made.data[i] = i % 4 === 3 ? 255 : (i * 7 + (i % width)) % 256; });
    return made;
  };
  globalThis.failed = (promise) => promise.then(() => undefined, ({ name, rule, message }) => ({ name, rule, message }));
  import('./runtime/rass-runtime.js').then(({ createRuntime }) => {
    globalThis.open = (options) => createRuntime({ model: './model/', ...options });
  })`;

type Page = Awaited<ReturnType<typeof openChromiumPage>>;

describe.skipIf(chromiumExecutable() === undefined)('the built runtime, in Chromium', { timeout: TIME }, () => {
  let folder: string;
  let manifest: Manifest;
  let script: string;
  let site: Site;
  let page: Page;
  beforeAll(async () => {
    await activateBackend('cpu');
    folder = mkdtempSync(join(tmpdir(), 'rass-built-'));
    const model = await smallModelFiles();
    manifest = await makeManifest(blobFolder(model), [...model.keys()], { pieceBytes: PIECE });
    model.set('files.json', new Blob([JSON.stringify(manifest)]));
    await buildRuntime(folder);
    await writeFiles(join(folder, 'model'), model);
    script = start('runtime/worker/worker.js');
  }, TIME);
  afterAll(async () => {
    await closeBrowsers();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    site = await serveSite(folder);
    page = await openChromiumPage();
    await page.goto(site.url);
    await page.evaluate(script);
  });
  afterEach(async () => {
    await page.context().close();
    site.close();
  });

  const run = <T>(body: string): Promise<T> => page.evaluate(`(async () => { ${body} })()`);
  const workersEnd = async (): Promise<void> => {
    await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);
  };
  const modelParts = () => site.parts.filter(({ path }) => path.startsWith('/model/') && !path.endsWith('files.json'));
  const keyOf = ({ path, start, end }: { path: string; start: number; end: number }) => `${path} ${start}-${end}`;
  const allPieces = () =>
    manifest.files.flatMap(({ path, bytes, pieces }) =>
      pieces.map((_, i) => ({ path: `/model/${path}`, start: i * PIECE, end: Math.min(bytes, (i + 1) * PIECE) })),
    );
  const opensAndWorks = `
    const runtime = await open({ device: 'wasm' });
    const { width, height } = await runtime.segment(image(64, 64));
    await runtime.dispose();
    return [width, height];`;

  it('falls back to wasm, restores and segments there, and asks for nothing twice on the second visit', async () => {
    await page.context().close();
    page = await openChromiumPage({ withoutWebgpu: true });
    await page.goto(site.url);
    await page.evaluate(script);
    const visit = `
      const stages = {};
      const runtime = await open({ onProgress: ({ stage, bytes }) => { stages[stage] = bytes ?? true; } });
      const restored = await runtime.restore(image(96, 64));
      const segmented = await runtime.segment(image(96, 64));
      const { device } = runtime;
      await runtime.dispose();
      return { device: device.name, reasons: device.reasons.length, stages, sizes: [restored.width, restored.height, segmented.width, segmented.labels.length] };`;
    const total = manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
    const visited = (fromStore: number) => ({
      device: 'wasm',
      reasons: 1,
      stages: { download: { loaded: total, total, fromStore }, load: true },
      sizes: [96, 64, 96, 96 * 64],
    });
    expect(await run(visit)).toEqual(visited(0));
    expect(modelParts().map(keyOf).sort()).toEqual(allPieces().map(keyOf).sort());
    site.parts.length = 0;
    expect(await run(visit)).toEqual(visited(total));
    expect(site.parts.map(({ path }) => path)).toEqual(['/model/files.json']);
  });

  it('tells how far download, load, compilation, tiles and windows are, and stops within a tile', async () => {
    const result = await run<
      Record<string, number[]> & { share: number; after: string[]; same: boolean; error: unknown }
    >(`
      const seen = {};
      const onProgress = ({ stage, done }) => (seen[stage] ??= []).push(done);
      const runtime = await open({ device: 'webgpu', onProgress, worker: watched });
      const compiled = heard.at(-1).live.programs;
      const tiling = { size: 16, overlap: 8 };
      delete seen.encode;
      const before = await runtime.restore(image(128, 64), { tiling, onProgress });
      await runtime.segment(image(192, 64), { onProgress });
      const share = compiled / heard.at(-1).live.programs;
      const controller = new AbortController();
      heard.length = 0;
      const stop = ({ stage, done }) => { if (done > 0.2) controller.abort(new Error('enough of ' + stage)); };
      const error = await failed(runtime.restore(image(128, 64), { onProgress: stop, signal: controller.signal }));
      const again = await runtime.restore(image(128, 64), { tiling });
      await runtime.dispose();
      const [stopped] = heard.filter(({ kind }) => kind === 'failed');
      const after = heard.filter(({ id, kind }) => id === stopped?.id && kind === 'progress').map(({ progress }) => progress.stage);
      return { ...seen, share, error, after: [...new Set(after)], same: again.pixels.every((value, i) => value === before.pixels[i]) };`);
    const { share, error, after, same, ...seen } = result;
    expect(Object.keys(seen).sort()).toEqual(['compile', 'decode', 'download', 'encode', 'load', 'restore', 'segment']);
    for (const done of Object.values(seen as Record<string, number[]>)) {
      expect(done).toEqual(done.toSorted((a, b) => a - b));
      expect(done.at(-1)).toBeCloseTo(1, 3);
    }
    for (const stage of ['download', 'load', 'compile']) expect(seen[stage]!.length).toBeGreaterThan(10);
    // Photographs of other shapes take a few programs more.
    expect(share).toBeGreaterThan(0.8);
    expect(seen['restore']).toEqual([1 / 3, 2 / 3, 1]);
    expect(seen['segment']).toEqual([1 / 4, 1 / 2, 3 / 4, 1]);
    // The worker was still at the first of three stages of the only tile.
    expect([error, after, same]).toEqual([{ name: 'Error', message: 'enough of encode' }, ['encode'], true]);
  });

  it.each(['download', 'load', 'compile'])('ends at a signal during %s, and opens the next time', async (stage) => {
    if (stage === 'download') site.delay = 100;
    const error = await run(`
      const controller = new AbortController();
      const onProgress = ({ stage, done }) => { if (stage === '${stage}' && done > 0.2 && done < 1) controller.abort(new Error('enough')); };
      return failed(open({ device: '${stage === 'compile' ? 'webgpu' : 'wasm'}', onProgress, signal: controller.signal }));`);
    expect(error).toEqual({ name: 'Error', message: 'enough' });
    await workersEnd();
    // What was on its way has come.
    await page.waitForTimeout(300);
    const asked = site.asked.length;
    await page.waitForTimeout(500);
    expect(site.asked.length).toBe(asked);
    if (stage === 'download') expect(modelParts().length).toBeLessThan(allPieces().length);
    site.delay = 0;
    expect(await run(opensAndWorks)).toEqual([64, 64]);
    await workersEnd();
  });

  it('asks only for the bytes that are missing where a download broke', async () => {
    let left = 12;
    site.breaks = (path) => path.startsWith('/model/') && left-- <= 0;
    const error = await run(`return failed(open({ device: 'wasm' }));`);
    expect(error).toMatchObject({ name: 'RuntimeError', rule: 'Unreachable' });
    const kept = modelParts().filter(({ whole }) => whole);
    expect(kept.length).toBeGreaterThan(5);
    expect(modelParts().length).toBeGreaterThan(kept.length);
    site.breaks = () => false;
    site.parts.length = 0;
    expect(await run(opensAndWorks)).toEqual([64, 64]);
    const here = new Set(kept.map(keyOf));
    const missing = allPieces().map(keyOf).filter((piece) => !here.has(piece)); // biome-ignore format: one line
    expect(modelParts().map(keyOf).sort()).toEqual(missing.sort());
  });

  it('says what is wrong with an image, and takes the next one', async () => {
    const result = await run(`
      const runtime = await open({ device: 'wasm', tasks: ['segment'] });
      const text = new File(['a text'], 'holiday.jpg', { type: 'image/jpeg' });
      const errors = [await failed(runtime.segment(text)), await failed(runtime.segment('./nothing.png'))];
      const { width } = await runtime.segment(image(64, 64));
      await runtime.dispose();
      return { errors, width };`);
    const message = (text: string) => expect.stringContaining(text);
    expect(result).toEqual({
      errors: [
        { name: 'RuntimeError', rule: 'BadImage', message: message('runtime: holiday.jpg: an image that the browser can read; got "') }, // biome-ignore format: one line
        {
          name: 'RuntimeError',
          rule: 'NotFound',
          message: message('nothing.png: the server answers 200 or 206; got 404'),
        },
      ],
      width: 64,
    });
  });

  const unet = (): Uint8Array => new Uint8Array(readFileSync(join(folder, 'model', UNET)));
  it.each<[string, string, () => Uint8Array, string, string]>([
    ['a flipped bit', UNET, () => unet().map((byte, i) => (i === PIECE + 99 ? byte ^ 1 : byte)), 'BadHash', `${UNET}: piece 1 has the hash `],
    ['an end too early', UNET, () => unet().slice(0, PIECE + 99), 'BadHash', `as files.json says; got ${PIECE + 99}`],
    ['a list that is no JSON', 'files.json', () => Buffer.from('<p>no</p>'), 'BadManifest', 'files.json: the list of files is JSON; got "<p>no</p>"'],
    ['a damaged index', 'model_index.json', () => Buffer.from('{"_class_name": '), 'BadHash', 'model_index.json: it has'],
  ])('refuses a model with %s, and keeps nothing of that', async (_, path, change, rule, message) => {
    site.changed.set(`/model/${path}`, change());
    const error = await run<{ message: string }>(`return failed(open({ device: 'wasm' }));`);
    expect(error).toMatchObject({ name: 'RuntimeError', rule });
    expect(error.message).toContain(path);
    expect(error.message).toContain(message);
    await workersEnd();
    site.changed.clear();
    expect(await run(opensAndWorks)).toEqual([64, 64]);
  }); // biome-ignore format: a table

  it('refuses an index that is no JSON where no hashes are read', async () => {
    site.changed.set('/model/model_index.json', Buffer.from('{"_class_name": '));
    const error = await run(`return failed(open({ device: 'wasm', store: 'none' }));`);
    const message = expect.stringContaining('model/model_index.json: the file is JSON; got "');
    expect(error).toEqual({ name: 'RuntimeError', rule: 'BadJson', message });
  });

  it('goes on with a restoration during which the GPU is lost, and with the next call', async () => {
    const result = await run(`
      const stages = [];
      const runtime = await open({ device: 'webgpu', tasks: ['restore'], compile: false, worker: watched });
      const before = await runtime.restore(image(64, 64));
      let lost = false;
      const onProgress = ({ stage }) => {
        stages.push(stage);
        if (!lost) workers.at(-1).postMessage('lose the GPU');
        lost = true;
      };
      const during = await runtime.restore(image(64, 64), { onProgress });
      const after = await runtime.restore(image(64, 64));
      const device = runtime.device.name;
      await runtime.dispose();
      const same = [during, after].map(({ pixels }) => pixels.every((value, i) => value === before.pixels[i]));
      return { device, recovered: stages.includes('recover'), same };`);
    expect(result).toEqual({ device: 'webgpu', recovered: true, same: [true, true] });
  });

  it('holds no more after many images than after the first of their sizes, and nothing when it is disposed of', async () => {
    type Held = { tensors: number; gpuBytes: number; gpuBytesAllocated: number; buffers: number; liveBytes: number };
    const { held, left } = await run<{ held: Held[]; left: Held }>(`
      const sizes = [[64, 64], [96, 64], [64, 48], [40, 56], [64, 100]];
      const runtime = await open({ device: 'webgpu', worker: watched, compile: false });
      const held = [];
      const last = () => {
        const { output, live } = heard.findLast(({ kind }) => kind === 'done');
        return { ...output, buffers: live.buffers, liveBytes: live.bytes };
      };
      for (let i = 0; i < 15; i++) {
        const [width, height] = sizes[i % sizes.length];
        await runtime.restore(image(width, height));
        await runtime.segment(image(width, height));
        await runtime.memory();
        held.push(last());
      }
      await runtime.dispose();
      return { held, left: last() };`);
    const [warm, ...later] = held.slice(4);
    expect(warm!.tensors).toBeGreaterThan(100);
    for (const { tensors, gpuBytes, gpuBytesAllocated, liveBytes } of later) {
      expect([tensors, gpuBytes]).toEqual([warm!.tensors, warm!.gpuBytes]);
      expect(liveBytes).toBe(gpuBytesAllocated);
      // The small buffers of programs' sizes are free again a moment later or sooner.
      expect(liveBytes / warm!.liveBytes).toBeLessThan(1.001);
    }
    expect(left).toEqual({ tensors: 0, bytes: 0, gpuBytes: 0, gpuBytesAllocated: 0, buffers: 0, liveBytes: 0 });
    await workersEnd();
  });
});
