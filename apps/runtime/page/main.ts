/// <reference types="vite/client" />
import {
  createRuntime,
  type ImageSource,
  type Runtime,
  type RuntimeOptions,
  type RuntimeProgress,
} from '../src/index.ts';
import { element } from './elements.ts';
import { listenForCamera, listenForPhotographs } from './inputs.ts';
import { ResultView } from './result.ts';

const base = new URL('.', document.baseURI);
const SAMPLES = ['cat', 'coffee', 'rocket', 'street', 'room'].map((name) => new URL(`samples/${name}.png`, base).href);
/** A photograph with more is made smaller first: phones have little memory. */
const MOST_PIXELS = 2 ** 20;

const STAGES: Readonly<Record<RuntimeProgress['stage'], string>> = {
  download: 'Fetching the model',
  load: 'Loading the model onto the device',
  compile: 'Preparing the device',
  recover: 'The device was lost; loading the model anew',
  encode: 'Reading the photograph',
  restore: 'Restoring it',
  decode: 'Drawing it',
  segment: 'Finding what it shows',
};

const view = new ResultView();
const bar = element('bar', HTMLProgressElement);

function showProgress(text: string | undefined, done?: number): void {
  element('progress', HTMLElement).hidden = text === undefined;
  element('stage', HTMLParagraphElement).textContent = text ?? '';
  if (done === undefined) bar.removeAttribute('value');
  else bar.value = done;
}

function showError(error: unknown): void {
  const place = element('error', HTMLParagraphElement);
  place.hidden = error === undefined;
  place.textContent = error === undefined ? '' : error instanceof Error ? error.message : String(error);
}

const onProgress = ({ stage, done, bytes }: RuntimeProgress): void => {
  const size =
    bytes === undefined ? '' : `: ${(bytes.loaded / 1e6).toFixed(1)} of ${(bytes.total / 1e6).toFixed(1)} MB`;
  showProgress(STAGES[stage] + size, done);
};

async function open(): Promise<Runtime> {
  const device = element('device', HTMLParagraphElement);
  try {
    const model = new URL('model/', base);
    const asked = (new URL(location.href).searchParams.get('device') ?? 'auto') as RuntimeOptions['device'];
    const runtime = await createRuntime({ model, device: asked, wasmPaths: new URL('wasm/', base).href, onProgress });
    const reasons = runtime.device.reasons.length > 0 ? ` (${runtime.device.reasons.join('; ')})` : '';
    device.textContent = `Computed on ${runtime.device.description}${reasons}`;
    return runtime;
  } catch (error) {
    device.textContent = 'Nothing here can compute';
    throw error;
  } finally {
    showProgress(undefined);
  }
}

const opening = open();
opening.catch(showError);

let running: AbortController | undefined;

async function asBitmap(photograph: Blob | string | ImageBitmap, signal: AbortSignal): Promise<ImageBitmap> {
  const source = typeof photograph === 'string' ? await (await fetch(photograph, { signal })).blob() : photograph;
  const whole = await createImageBitmap(source);
  const scale = Math.sqrt(MOST_PIXELS / (whole.width * whole.height));
  if (scale >= 1) return whole;
  const size = { resizeWidth: Math.round(whole.width * scale), resizeHeight: Math.round(whole.height * scale) };
  const smaller = await createImageBitmap(whole, { ...size, resizeQuality: 'high' });
  whole.close();
  return smaller;
}

async function timed<T>(seconds: Record<string, number>, name: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  seconds[name] = (performance.now() - start) / 1000;
  return result;
}

async function run(photograph: Blob | string | ImageBitmap): Promise<void> {
  running?.abort();
  const controller = new AbortController();
  running = controller;
  const { signal } = controller;
  const stop = element('stop', HTMLButtonElement);
  showError(undefined);
  stop.disabled = false;
  try {
    const given = await asBitmap(photograph, signal);
    const runtime = await opening;
    const seconds: Record<string, number> = {};
    const options = { signal, onProgress };
    showProgress('Finding what it shows');
    const image: ImageSource = given;
    const segmentation = await timed(seconds, 'segmenting', () => runtime.segment(image, options));
    const tags = segmentation.classes.filter(({ share }) => share >= 0.01).map(({ name }) => name);
    const restored = await timed(seconds, 'restoring', () => runtime.restore(image, { ...options, tags }));
    showProgress('Looking where the model looks');
    const attention =
      tags.length > 0
        ? await timed(seconds, 'attention', () => runtime.attend(image, { ...options, tags }))
        : undefined;
    await view.show({ given, restored, segmentation, attention, seconds });
  } catch (error) {
    if (!signal.aborted) showError(error);
  } finally {
    if (running === controller) {
      stop.disabled = true;
      showProgress(undefined);
    }
  }
}

element('stop', HTMLButtonElement).addEventListener('click', () => running?.abort());
listenForPhotographs(SAMPLES, (photograph) => void run(photograph));
// The development server has none.
if (import.meta.hot === undefined) void navigator.serviceWorker?.register('./sw.js');
listenForCamera((photograph) => void run(photograph), showError);
