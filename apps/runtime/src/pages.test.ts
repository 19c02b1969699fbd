import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { activateBackend } from '@rass/testkit';
import { chromiumExecutable, closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { blobFolder, makeManifest } from '@rass/weights';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { smallModelFiles } from '../../../packages/pipeline/src/small-model.test-support.ts';
import { buildRuntime, type Site, serveSite, writeFiles } from './site.test-support.ts';

type Page = Awaited<ReturnType<typeof openChromiumPage>>;
type Failed = { name: string; rule: string; message: string };

/** Of the README. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; img-src 'self' blob: data:";
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const SHARED = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Content-Range, ETag' };
const PIECE = 64 << 10;

describe.skipIf(chromiumExecutable() === undefined)('in pages of all kinds, in Chromium', () => {
  let folder: string;
  beforeAll(async () => {
    await activateBackend('cpu');
    folder = mkdtempSync(join(tmpdir(), 'rass-pages-'));
    await buildRuntime(folder);
    await writeFiles(join(folder, 'model'), await modelFiles());
  });
  afterAll(async () => {
    await closeBrowsers();
    rmSync(folder, { recursive: true, force: true });
  });

  async function modelFiles(): Promise<Map<string, Blob>> {
    const model = await smallModelFiles();
    const manifest = await makeManifest(blobFolder(model), [...model.keys()], { pieceBytes: PIECE });
    return model.set('files.json', new Blob([JSON.stringify(manifest)]));
  }

  const open: { sites: Site[]; pages: Page[] } = { sites: [], pages: [] };
  afterEach(async () => {
    for (const page of open.pages.splice(0)) await page.context().close();
    for (const site of open.sites.splice(0)) site.close();
  });
  async function serve(headers: Readonly<Record<string, string>> = {}): Promise<Site> {
    const site = await serveSite(folder, headers);
    open.sites.push(site);
    return site;
  }
  async function visit(url: string): Promise<Page> {
    const page = await openChromiumPage({ withoutWebgpu: true });
    open.pages.push(page);
    await page.goto(url);
    return page;
  }
  /** What a page's script gives; `open(options)` opens a runtime, `failed` gives the error of what fails. */
  const run = <T>(page: Page, body: string): Promise<T> =>
    page.evaluate(`(async () => {
      const { createRuntime, removeStored, storedModels } = await import('./runtime/rass-runtime.js');
      const open = (options) => createRuntime({ model: './model/', ...options });
      const failed = (promise) => promise.then(() => undefined, ({ name, rule, message }) => ({ name, rule, message }));
      const image = new ImageData(64, 48);
      ${body}
    })()`);
  const works = `
    const runtime = await open(globalThis.options ?? {});
    const { width, height } = await runtime.segment(image);
    await runtime.dispose();
    const { device, store } = runtime;
    return { size: [width, height], device: device.name, threads: device.threads, threadsReason: device.threadsReason, store };`;
  type Worked = { size: number[]; device: string; threads: number; threadsReason: string; store: { name: string; reason?: string } }; // biome-ignore format: one line

  it("works under the README's policy, with threads where the page is isolated", async () => {
    const site = await serve({ 'content-security-policy': POLICY, ...ISOLATED });
    const page = await visit(site.url);
    await page.route('**/worker/worker.js', async (route) => {
      const response = await route.fetch();
      const cores = `Object.defineProperty(navigator, 'hardwareConcurrency', { value: 8 });`;
      await route.fulfill({ response, body: cores + (await response.text()) });
    });
    expect(await run(page, works)).toMatchObject({ size: [64, 48], device: 'wasm', threads: 4 });
    const plain = await run<Worked>(await visit((await serve()).url), works);
    expect(plain).toMatchObject({ threads: 1, threadsReason: expect.stringContaining('not cross-origin isolated') });
    expect(plain.store).toEqual({ name: 'cache' });
  });

  it('says that the policy forbids WebAssembly, or that its files are missing, and takes plain JavaScript only by name', async () => {
    const site = await serve({ 'content-security-policy': POLICY.replace(" 'wasm-unsafe-eval'", '') });
    const page = await visit(site.url);
    const refused = await run<Failed>(page, 'return failed(open({}));');
    expect(refused).toMatchObject({ name: 'RuntimeError', rule: 'WasmPolicy' });
    expect(refused.message).toMatch(/add 'wasm-unsafe-eval' to script-src .* or choose the device "cpu"/);
    expect(await run(page, `globalThis.options = { device: 'cpu' };${works}`)).toMatchObject({ device: 'cpu' });

    const bare = await visit((await serve()).url);
    const missing = await run<Failed>(bare, `return failed(open({ wasmPaths: '/nowhere' }));`);
    expect(missing).toMatchObject({ name: 'RuntimeError', rule: 'WasmFiles' });
    expect(missing.message).toMatch(/\/nowhere\/tfjs-backend-wasm-simd.wasm: status 404/);
  });

  it('takes worker, WebAssembly and model from another host that allows it, and says where one does not', async () => {
    const [shared, closed, own] = [await serve({ ...SHARED, ...ISOLATED, 'cross-origin-resource-policy': 'cross-origin' }), await serve(), await serve(ISOLATED)]; // biome-ignore format: one line
    const page = await visit(own.url);
    const of = (url: string) =>
      `globalThis.options = { model: '${url}model/', worker: '${url}runtime/worker/worker.js' };`;
    expect(await run(page, of(shared.url) + works)).toMatchObject({ size: [64, 48], device: 'wasm' });
    expect(shared.asked).toContain('/runtime/wasm/tfjs-backend-wasm-simd.wasm');
    expect(own.asked).not.toContain('/runtime/worker/worker.js');
    const model = await run<Failed>(page, `return failed(open({ model: '${closed.url}model/' }));`);
    expect(model).toMatchObject({ rule: 'Unreachable', message: expect.stringContaining('/model/files.json') });
    const worker = await run<Failed>(page, `return failed(open({ worker: '${closed.url}runtime/worker/worker.js' }));`);
    expect(worker).toMatchObject({ rule: 'WorkerFailed' });
    const gone = await run<Failed>(page, `return failed(open({ worker: './nothing.js' }));`);
    expect(gone).toMatchObject({ rule: 'WorkerFailed', message: expect.stringContaining('give its address by the option worker') }); // biome-ignore format: one line
  });

  it('works on an insecure page, keeps nothing there, and says so', async () => {
    const site = await serve();
    const page = await openChromiumPage({ withoutWebgpu: true });
    open.pages.push(page);
    await page.route('http://insecure.test/**', async (route) => {
      const url = route.request().url().replace('http://insecure.test/', site.url);
      await route.fulfill({ response: await route.fetch({ url }) });
    });
    await page.goto('http://insecure.test/');
    expect(await page.evaluate('isSecureContext')).toBe(false);
    const worked = await run<Worked>(page, works);
    expect(worked).toMatchObject({ size: [64, 48], device: 'wasm' });
    expect(worked.store).toEqual({ name: 'none', reason: expect.stringMatching(/a Cache API; got none; serve the page by https/) }); // biome-ignore format: one line
    for (const store of ['cache', 'files'])
      expect(await run(page, `return failed(open({ store: '${store}' }));`)).toMatchObject({ rule: 'NoStore' });
    expect(await run(page, 'return failed(storedModels());')).toMatchObject({ name: 'RuntimeError', rule: 'NoStore' });
  });

  it('works in a sandboxed frame', async () => {
    const site = await serve(SHARED);
    const page = await visit(site.url);
    const script = `import { createRuntime } from '${site.url}runtime/rass-runtime.js';
      const tell = (result) => parent.postMessage(result, '*');
      createRuntime({ model: '${site.url}model/' }).then(async (runtime) => {
        const { width } = await runtime.segment(new ImageData(64, 48));
        tell({ width, device: runtime.device.name, store: runtime.store });
      }).catch(({ rule, message }) => tell({ rule, message }));`;
    const result = await page.evaluate(`new Promise((resolve) => {
      addEventListener('message', ({ data }) => resolve(data), { once: true });
      const frame = document.createElement('iframe');
      frame.sandbox = 'allow-scripts';
      frame.srcdoc = '<!doctype html><script type="module">' + ${JSON.stringify(script)} + '</' + 'script>';
      document.body.append(frame);
    })`);
    expect(result).toMatchObject({ width: 64, device: 'wasm', store: { name: 'none', reason: expect.stringContaining('Cache API') } }); // biome-ignore format: one line
  });

  it('works where there is no room, fetches what is missing as it is read, and says so', async () => {
    const site = await serve();
    const page = await visit(site.url);
    const session = await page.context().newCDPSession(page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, quotaSize: 4 * PIECE });
    const worked = await run<Worked>(page, works);
    expect(worked).toMatchObject({ size: [64, 48], store: { name: 'cache', reason: expect.stringMatching(/got ".*quota.*"; free the browser's space/i) } }); // biome-ignore format: one line
  });

  it('removes the old version of a model when the new one is here, lists what is kept, and empties it', async () => {
    const site = await serve();
    const page = await visit(site.url);
    const keys = `return (await (await caches.open('rass-weights')).keys()).map(({ url }) => url).sort();`;
    await run(page, works);
    const before = await run<string[]>(page, keys);
    const old = await modelFiles();
    const path = 'model_index.json';
    const text = `${await old.get(path)!.text()} `;
    const changed = new Map([...old].filter(([name]) => name !== 'files.json')).set(path, new Blob([text]));
    const manifest = await makeManifest(blobFolder(changed), [...changed.keys()], { pieceBytes: PIECE });
    site.changed.set(`/model/${path}`, new TextEncoder().encode(text));
    site.changed.set('/model/files.json', new TextEncoder().encode(JSON.stringify(manifest)));
    await run(page, works);
    const after = await run<string[]>(page, keys);
    expect(after.length).toBe(before.length);
    // One piece of the index, of which the hash is another.
    expect(after.filter((key) => !before.includes(key))).toHaveLength(1);

    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const model = `${site.url}model/`;
    expect(await run(page, 'return storedModels();')).toEqual([{ model, bytes, keptBytes: bytes }]);
    await run(page, `await removeStored({ model: './other/' });`);
    expect(await run(page, keys)).toHaveLength(after.length);
    await run(page, `await removeStored({ model: './model/' });`);
    expect(await run(page, keys)).toEqual([]);
    expect(await run(page, 'return storedModels();')).toEqual([]);
  });

  it('encodes without a worker where the policy forbids one of a text, tries it once, and leaves nothing behind', async () => {
    const site = await serve({
      'content-security-policy': POLICY.replace("worker-src 'self' blob:", "worker-src 'self'"),
    });
    const page = await visit(site.url);
    const result = await run<unknown>(
      page,
      `const runtime = await open({ tasks: ['segment'] });
      const segmented = await runtime.segment(image);
      const urls = new Set();
      const { createObjectURL, revokeObjectURL } = URL;
      URL.createObjectURL = (blob) => { const url = createObjectURL.call(URL, blob); urls.add(url); return url; };
      URL.revokeObjectURL = (url) => { urls.delete(url); revokeObjectURL.call(URL, url); };
      const Plain = Worker;
      let [started, ended] = [0, 0];
      globalThis.Worker = class extends Plain {
        constructor(...of) { super(...of); started += 1; }
        terminate() { ended += 1; super.terminate(); }
      };
      const blobs = [await segmented.toBlob(), await segmented.toBlob('image/webp')];
      await runtime.dispose();
      return { types: blobs.map(({ type }) => type), started, ended, urls: urls.size };`,
    );
    expect(result).toEqual({ types: ['image/png', 'image/webp'], started: 1, ended: 1, urls: 0 });
  });

  it('ends a worker that is busy at once', async () => {
    const page = await visit((await serve()).url);
    const busy = `addEventListener('message', ({ data }) => {
      if (data.call === 'open') postMessage({ id: data.id, kind: 'done', output: { device: { name: 'cpu' }, classes: [], store: { name: 'none' } } });
      else while (true);
    });`;
    const result = run<Failed>(
      page,
      `const worker = () => new Worker(URL.createObjectURL(new Blob([${JSON.stringify(busy)}], { type: 'text/javascript' })));
      const runtime = await open({ worker });
      const call = failed(runtime.restore(image));
      await runtime.dispose();
      return call;`,
    );
    expect(await result).toMatchObject({ rule: 'Disposed' });
    await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);
  });

  it("never holds the page's thread for all of a large picture", async () => {
    const page = await visit((await serve()).url);
    // A worker that has all results at hand.
    const answers = `addEventListener('message', ({ data: { id, call } }) => {
      const [width, height] = [1024, 1024];
      const output = {
        open: { device: { name: 'cpu' }, classes: [{ name: 'sky', colour: [1, 2, 3] }, { name: 'tree', colour: [4, 5, 6] }], store: { name: 'none' } },
        restore: { image: { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => i) } },
        segment: { labels: Uint8Array.from({ length: width * height }, (_, i) => i % 2), counts: [width * height / 2, width * height / 2] },
        attend: { maps: [{ tag: 'sky', width: 2, height: 2, values: Float32Array.of(0, 1, 0.5, 0.25) }] },
      }[call] ?? {};
      postMessage({ id, kind: 'done', output });
    });`;
    const { encoded, ...tasks } = await run<Record<string, number> & { encoded: unknown }>(
      page,
      `const worker = () => new Worker(URL.createObjectURL(new Blob([${JSON.stringify(answers)}], { type: 'text/javascript' })));
      const runtime = await open({ worker });
      const size = new ImageData(1024, 1024);
      const values = new Float32Array(3 * 1024 * 1024);
      const tensor = { shape: [1024, 1024, 3], dtype: 'float32', data: async () => values };
      // A machine on which all takes longer than there is time for.
      let now = 0;
      performance.now = () => (now += 6);
      let tasks = 0;
      const { postMessage } = MessagePort.prototype;
      MessagePort.prototype.postMessage = function (...of) { tasks += 1; postMessage.apply(this, of); };
      // Of files and bitmaps, which are made in workers.
      const Plain = Worker;
      let workers = 0;
      globalThis.Worker = class extends Plain { constructor(...of) { super(...of); workers += 1; } };
      const count = async (work) => { tasks = 0; await work(); return tasks; };
      const picture = await runtime.restore(size);
      const segmented = await runtime.segment(size);
      const attention = await runtime.attend(size, { tags: ['sky'] });
      let [webp, png, bitmap] = [];
      const counts = {
        tensor: await count(() => runtime.restore(tensor)),
        'picture.toImageData': await count(() => picture.toImageData()),
        'picture.toBlob': await count(async () => { webp = await picture.toBlob('image/webp'); }),
        'picture.toImageBitmap': await count(async () => { bitmap = await picture.toImageBitmap(); }),
        mask: await count(() => segmented.mask('sky')),
        'segmented.toImageData': await count(() => segmented.toImageData(0.5)),
        'segmented.toBlob': await count(async () => { png = await segmented.toBlob(); }),
        overlay: await count(() => segmented.overlay(picture)),
        'attention.toImageData': await count(() => attention.toImageData('sky')),
      };
      const encoded = { workers, types: [webp.type, png.type], size: [bitmap.width, bitmap.height], kept: (await picture.toImageData()).data.length };
      return { ...counts, encoded };`,
    );
    // A megapixel is 16 steps, and each of them a task of its own.
    for (const [what, count] of Object.entries(tasks)) expect(count, what).toBeGreaterThanOrEqual(15);
    expect(encoded).toEqual({ workers: 3, types: ['image/webp', 'image/png'], size: [1024, 1024], kept: 4 << 20 });
  });
});
