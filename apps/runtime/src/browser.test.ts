import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodePng, type RgbImage, resizePixels } from '@rass/images';
import { readImage } from '@rass/images/node';
import { activateBackend } from '@rass/testkit';
import { chromiumExecutable, closeBrowsers, runInChromium } from '@rass/testkit/browser';
import { blobFolder, makeManifest } from '@rass/weights';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallModelFiles } from '../../../packages/pipeline/src/small-model.test-support.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const PHOTOGRAPH = fileURLToPath(new URL('../../../test-fixtures/images/cat.jpg', import.meta.url));
const [WIDTH, HEIGHT] = [96, 64];
/** Software compiles hundreds of shaders. */
const TIME = 300_000;
const WASM_FILES = ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm', 'tfjs-backend-wasm-threaded-simd.wasm'];

describe.skipIf(chromiumExecutable() === undefined)('in Chromium', () => {
  let files: Record<string, Uint8Array>;
  beforeAll(async () => {
    await activateBackend('cpu');
    const model = await smallModelFiles();
    model.set('files.json', new Blob([JSON.stringify(await makeManifest(blobFolder(model), [...model.keys()]))]));
    const photograph = { ...(await readImage(PHOTOGRAPH)), channels: 3 };
    const wasm = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json'));
    files = {
      // Small, since software computes what a GPU would.
      '/cat.png': encodePng(resizePixels(photograph, [HEIGHT, WIDTH], 'bilinear') as RgbImage),
      ...Object.fromEntries(WASM_FILES.map((name) => [`/wasm/${name}`, readFileSync(join(wasm, 'dist', name))])),
    };
    for (const [path, blob] of model) files[`/model/${path}`] = new Uint8Array(await blob.arrayBuffer());
  });
  afterAll(closeBrowsers);

  const page = (body: string): string => `
    import { createRuntime } from './index.ts';
    const open = (options) => createRuntime({ model: '/model', wasmPaths: '/wasm/', worker: () => new Worker('/worker.js', { type: 'module' }), ...options });
    export default async function () { ${body} }`;
  /** A worker whose GPU can be taken from it. */
  const LOSING = `
    import '/worker.js';
    const devices = [];
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...of) {
      const device = await requestDevice.apply(this, of);
      devices.push(device);
      return device;
    };
    addEventListener('message', ({ data }) => {
      if (data !== 'lose the GPU') return;
      for (const device of devices.splice(0)) device.destroy();
    });`;
  const run = <T>(body: string): Promise<T> =>
    runInChromium<T>(page(body), {
      resolveFrom: here,
      files: { ...files, '/losing-worker.js': new TextEncoder().encode(LOSING) },
      scripts: { '/worker.js': join(here, 'standalone', 'worker', 'worker.ts') },
    });

  it.each(['wasm', 'webgpu'])(
    'restores and segments a photograph on %s, in a worker',
    async (device) => {
      const result = await run<Record<string, unknown>>(`
      const stages = [];
      let frames = 0;
      const count = () => { frames += 1; requestAnimationFrame(count); };
      requestAnimationFrame(count);
      const runtime = await open({ device: '${device}', onProgress: ({ stage }) => stages.push(stage) });
      const canvas = new OffscreenCanvas(${WIDTH}, ${HEIGHT});
      canvas.getContext('2d').drawImage(await createImageBitmap(await (await fetch('/cat.png')).blob()), 0, 0, ${WIDTH}, ${HEIGHT});
      const start = frames;
      const restored = await runtime.restore(canvas);
      const segmented = await runtime.segment(canvas);
      const alive = frames - start;
      const blob = await restored.toBlob('image/webp');
      const mask = (await segmented.mask(segmented.classes[0].label)).data.filter((value) => value > 0).length / 4;
      const fromUrl = await runtime.segment('/cat.png');
      const fromBlob = await runtime.segment(await (await fetch('/cat.png')).blob());
      const same = fromUrl.labels.every((label, i) => label === fromBlob.labels[i]);
      const heat = await (await runtime.attend(canvas, { tags: ['sky', 'tree'] })).toImageData('sky');
      const memory = await runtime.memory();
      await runtime.segment(canvas);
      const after = await runtime.memory();
      const device = runtime.device;
      await runtime.dispose();
      return {
        device: device.name, stages: [...new Set(stages)], size: [restored.width, restored.height], type: blob.type, alive: alive > 2,
        whole: segmented.classes[0].pixels === mask, photograph: [fromUrl.width, fromUrl.height], same, steady: memory.tensors === after.tensors, heat: [heat.width, heat.height, heat.data.some((value) => value > 0)],
      };`);
      expect(result).toEqual({
        device,
        stages: ['download', 'load', ...(device === 'webgpu' ? ['compile'] : [])],
        size: [WIDTH, HEIGHT],
        type: 'image/webp',
        alive: true,
        whole: true,
        photograph: [WIDTH, HEIGHT],
        same: true,
        steady: true,
        heat: [WIDTH, HEIGHT, true],
      });
    },
    TIME,
  );

  it(
    'goes on with the work when its GPU is lost',
    async () => {
      const result = await run<Record<string, unknown>>(`
      const stages = [];
      let made;
      const worker = () => (made = new Worker('/losing-worker.js', { type: 'module' }));
      // Where the model looks takes the fewest shaders, which software compiles one by one.
      const runtime = await open({ device: 'webgpu', worker, tasks: ['restore'], compile: false });
      const canvas = new OffscreenCanvas(32, 32);
      canvas.getContext('2d').fillRect(8, 8, 16, 16);
      const look = async (options) => (await runtime.attend(canvas, { tags: ['sky', 'tree'], ...options })).map('sky').values;
      const before = await look();
      made.postMessage('lose the GPU');
      const after = await look({ onProgress: ({ stage }) => stages.push(stage) });
      const device = runtime.device.name;
      await runtime.dispose();
      return { device, recovered: stages.includes('recover'), same: before.some((value) => value !== before[0]) && before.every((value, i) => value === after[i]) };`);
      expect(result).toEqual({ device: 'webgpu', recovered: true, same: true });
    },
    TIME,
  );

  it('opens another runtime in React when its worker lies elsewhere', async () => {
    const script = `
      import { createElement, useEffect } from 'react';
      import { createRoot } from 'react-dom/client';
      import { useRuntime } from './react.ts';
      export default async function () {
        const Plain = Worker;
        const started = [];
        globalThis.Worker = class extends Plain { constructor(...of) { super(...of); started.push(new URL(of[0]).pathname); } };
        let loaded;
        function Page({ worker }) {
          const { status, error } = useRuntime({ model: '/model', wasmPaths: '/wasm/', device: 'wasm', tasks: ['segment'], worker });
          useEffect(() => { if (status !== 'loading') loaded(error?.message ?? status); }, [status]);
          return null;
        }
        const root = createRoot(document.body.appendChild(document.createElement('div')));
        const shows = (worker) => new Promise((resolve) => { loaded = resolve; root.render(createElement(Page, { worker })); });
        const states = [await shows('/worker.js'), await shows(new URL('/other.js', location.href))];
        root.unmount();
        return { states, started };
      }`;
    const own = join(here, 'standalone', 'worker', 'worker.ts');
    const result = await runInChromium(script, {
      resolveFrom: here,
      files,
      scripts: { '/worker.js': own, '/other.js': own },
    });
    expect(result).toEqual({ states: ['ready', 'ready'], started: ['/worker.js', '/other.js'] });
  }, 60_000);

  it.each([
    [
      'React',
      `import { createElement, useEffect, useState } from 'react';
       import { createRoot } from 'react-dom/client';
       import { useRestored, useRuntime, useSegmentation } from './react.ts';
       export function start(seen, image, element) {
         const options = { model: '/model', wasmPaths: '/wasm/', device: 'wasm', worker };
         function Page() {
           const [tags, setTags] = useState([]);
           const { status, runtime, error } = useRuntime(options);
           const restored = useRestored(runtime, image, { tags });
           const segmented = useSegmentation(runtime, image);
           useEffect(() => { seen(status, restored, segmented, error, () => setTags(['sky'])); });
           return createElement('p', null, status + ' ' + (segmented.result?.classes.length ?? 0));
         }
         const root = createRoot(element);
         root.render(createElement(Page));
         return () => root.unmount();
       }`,
    ],
    [
      'Vue',
      `import { createApp, h, ref, watchEffect } from 'vue';
       import { useRestored, useRuntime, useSegmentation } from './vue.ts';
       export function start(seen, image, element) {
         const options = { model: '/model', wasmPaths: '/wasm/', device: 'wasm', worker };
         const app = createApp({
           setup() {
             const how = ref({ tags: [] });
             const { status, runtime, error } = useRuntime(options);
             const restored = useRestored(runtime, image, how);
             const segmented = useSegmentation(runtime, image);
             const plain = (refs) => Object.fromEntries(Object.entries(refs).map(([name, each]) => [name, each.value]));
             watchEffect(() => seen(status.value, plain(restored), plain(segmented), error.value, () => { how.value = { tags: ['sky'] }; }));
             return () => h('p', status.value + ' ' + (segmented.result.value?.classes.length ?? 0));
           },
         });
         app.mount(element);
         return () => app.unmount();
       }`,
    ],
  ])('has hooks for %s', async (_, hooks) => {
    const script = `${hooks}
      function worker() {
        const made = new Worker('/worker.js', { type: 'module' });
        const terminate = made.terminate.bind(made);
        made.terminate = () => { ended += 1; terminate(); };
        return made;
      }
      let ended = 0;
      export default async function () {
        const canvas = new OffscreenCanvas(64, 48);
        canvas.getContext('2d').drawImage(await createImageBitmap(await (await fetch('/cat.png')).blob()), 0, 0, 64, 48);
        const image = canvas.getContext('2d').getImageData(0, 0, 64, 48);
        const element = document.body.appendChild(document.createElement('div'));
        const states = new Set();
        let [first, second, stop] = [];
        await new Promise((resolve, reject) => {
          stop = start((status, restored, segmented, error, change) => {
            states.add(status);
            states.add('restored ' + restored.status);
            const failed = error ?? restored.error ?? segmented.error;
            if (failed) reject(failed);
            if (restored.status !== 'done' || segmented.status !== 'done') return;
            if (first === undefined) {
              first = restored.result;
              change();
            } else if (restored.result !== first) {
              second = restored.result;
              resolve();
            }
          }, image, element);
        });
        const text = element.textContent;
        stop();
        await new Promise((resolve) => setTimeout(resolve, 500));
        const others = first.pixels.some((value, i) => value !== second.pixels[i]);
        return { states: [...states].sort(), size: [first.width, first.height], others, shows: /^ready [1-9]/.test(text), ended };
      }`;
    const result = await runInChromium(script, {
      resolveFrom: here,
      files,
      scripts: { '/worker.js': join(here, 'standalone', 'worker', 'worker.ts') },
    });
    expect(result).toEqual({
      states: ['loading', 'ready', 'restored done', 'restored idle', 'restored working'],
      size: [64, 48],
      others: true,
      shows: true,
      ended: 1,
    });
  });
});
