import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { RgbImage } from '@rass/images';
import { openPipeline, type Pipeline } from '@rass/pipeline';
import { activateBackend } from '@rass/testkit';
import { tensor3d } from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { smallModelFiles } from '../../../packages/pipeline/src/small-model.test-support.ts';
import { Picture } from './client/results.ts';
import { openRuntime, type Runtime, type RuntimeOptions } from './client/runtime.ts';
import { createRuntime } from './create-runtime.ts';
import type { RuntimeError } from './protocol/errors.ts';
import type { Endpoint, RuntimeProgress } from './protocol/messages.ts';
import { serve } from './worker/serve.ts';

let server: Server;
let model: string;
let direct: Pipeline;
beforeAll(async () => {
  await activateBackend('wasm');
  const files = await smallModelFiles();
  server = createServer(async (request, response) => {
    const blob = files.get(new URL(request.url ?? '', 'http://localhost').pathname.slice('/model/'.length));
    if (blob === undefined) response.writeHead(404).end();
    else response.end(new Uint8Array(await blob.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  model = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`;
  direct = await openPipeline(model, { restore: true, segment: true });
});
afterAll(() => {
  direct.dispose();
  server.close();
});

const open: { runtime?: Runtime; ports: MessagePort[] } = { ports: [] };
afterEach(async () => {
  await open.runtime?.dispose();
  for (const port of open.ports.splice(0)) port.close();
});

/** A runtime whose worker is this process, over a real wire. */
async function openHere(options: Partial<RuntimeOptions> = {}): Promise<Runtime> {
  const { port1, port2 } = new MessageChannel();
  open.ports.push(port1, port2);
  serve(port1 as unknown as Endpoint);
  const all = { model, device: 'wasm', store: 'none', ...options } as const;
  open.runtime = await openRuntime(port2 as unknown as Endpoint, all, () => undefined);
  return open.runtime;
}

const image = (width = 64, height = 48): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 7 + (i % width)) % 256),
});

it('restores and segments as the pipeline does', async () => {
  const runtime = await openHere();
  expect(runtime.device).toMatchObject({ name: 'wasm', reasons: [] });
  expect(runtime.classes).toEqual(direct.classes);
  const given = image();
  const restored = await runtime.restore(given, { tags: ['sky'], upscale: 1.5 });
  const expected = await direct.restore(given, { tags: ['sky'], upscale: 1.5 });
  expect([restored.width, restored.height]).toEqual([96, 72]);
  expect(restored.pixels).toEqual(expected.data);
  expect(given.data.length).toBe(3 * 64 * 48);

  const segmented = await runtime.segment(given, { shortSide: 64 });
  const { data } = await direct.segment(given, { shortSide: 64 });
  expect(segmented.labels).toEqual(new Uint8Array(data));
  expect(segmented.classes.reduce((sum, { pixels }) => sum + pixels, 0)).toBe(64 * 48);
  expect(segmented.classAt(3, 2)!.label).toBe(data[2 * 64 + 3]);
  expect(segmented.classAt(-1, 0)).toBeUndefined();
  expect(segmented.classAt(64, 0)).toBeUndefined();
  const picture = await segmented.overlay(await runtime.restore(given));
  expect(picture.pixels.length).toBe(given.data.length);
});

it('takes tensors and pixels with alpha alike', async () => {
  const runtime = await openHere({ tasks: ['segment'] });
  const given = image(64, 64);
  const labels = (await runtime.segment(given)).labels;
  const asTensor = tensor3d(Array.from(given.data), [64, 64, 3], 'int32');
  expect((await runtime.segment(asTensor)).labels).toEqual(labels);
  const float = tensor3d(
    Array.from(given.data, (value) => value / 127.5 - 1),
    [64, 64, 3],
  );
  expect((await runtime.segment(float)).labels).toEqual(labels);
  const rgba = new Uint8ClampedArray(4 * 64 * 64).fill(255);
  for (let i = 0; i < 64 * 64; i++) rgba.set(given.data.subarray(3 * i, 3 * i + 3), 4 * i);
  expect((await runtime.segment({ width: 64, height: 64, data: rgba } as unknown as ImageData)).labels).toEqual(labels);
  await expect(runtime.segment(tensor3d([1, 2], [1, 2, 1]))).rejects.toThrow(
    'a tensor of an image is [H, W, 3]; got [1, 2, 1]',
  );
  await expect(runtime.restore(given)).rejects.toThrow(
    'restore: the model was opened to restore; got one that was not',
  );
});

it('sees what is transparent on white, and gives the picture its alpha again', async () => {
  const runtime = await openHere();
  const given = image(64, 64);
  const alpha = new Uint8Array(64 * 64).map((_, i) => (i % 64 < 20 ? 0 : 255));
  const rgba = new Uint8ClampedArray(4 * 64 * 64);
  for (let i = 0; i < 64 * 64; i++) rgba.set([...given.data.subarray(3 * i, 3 * i + 3), alpha[i]!], 4 * i);
  const picture = await runtime.restore({ width: 64, height: 64, data: rgba } as unknown as ImageData);
  const expected = await direct.restore({ ...given, alpha });
  expect([picture.pixels, picture.alpha]).toEqual([expected.data, alpha]);
  const apart = await runtime.restore({ ...given, alpha });
  expect([apart.pixels, apart.alpha]).toEqual([expected.data, alpha]);
  await expect(runtime.restore({ ...given, alpha: alpha.subarray(1) })).rejects.toMatchObject({
    rule: 'BadImage',
    message: 'restore: alpha is one number of each pixel; got 4095 for 64 x 64; give its own size',
  });
  const white = given.data.map((value, i) => (alpha[Math.floor(i / 3)] === 0 ? 255 : value));
  const opaque = await runtime.restore({ ...given, data: white });
  expect(opaque.alpha).toBeUndefined();
  const overlaid = await (await runtime.segment(given)).overlay(picture);
  expect(overlaid.alpha).toEqual(alpha);
});

it('says at which size a long photograph was seen, and sees it larger where it is asked to', async () => {
  const runtime = await openHere({ tasks: ['segment'] });
  const given = image(640, 64);
  const bounded = await runtime.segment(given, { shortSide: 64 });
  expect(bounded.note).toMatch(/^it is seen at 256 x 2[56] pixels: the longer side is at most 256, /);
  const whole = await runtime.segment(given, { shortSide: 64, longSide: 640 });
  expect(whole.note).toBeUndefined();
  const { data } = await direct.segment(given, { shortSide: 64, longSide: 640 });
  expect(whole.labels).toEqual(new Uint8Array(data));
});

it('tells how far it is, stops at a signal within a tile, and goes on with the next call', async () => {
  const runtime = await openHere();
  const before = await runtime.memory();
  const seen: RuntimeProgress[] = [];
  const tiling = { size: 16, overlap: 8 };
  const whole = await runtime.restore(image(128, 64), { tiling, onProgress: (progress) => seen.push(progress) });
  expect([...new Set(seen.map(({ stage }) => stage))]).toEqual(['encode', 'restore', 'decode']);
  const controller = new AbortController();
  let told = 0;
  const onProgress = ({ stage }: RuntimeProgress): void => {
    told += 1;
    if (stage === 'restore') controller.abort(new Error('enough'));
  };
  const stopped = runtime.restore(image(128, 64), { tiling, onProgress, signal: controller.signal });
  await expect(stopped).rejects.toThrow('enough');
  const until = told;
  const waiting = new AbortController();
  const queued = [runtime.segment(image()), runtime.segment(image(), { signal: waiting.signal })];
  waiting.abort(new Error('no more'));
  await expect(queued[1]).rejects.toThrow('no more');
  await queued[0];
  expect(told).toBe(until);
  expect((await runtime.restore(image(128, 64), { tiling })).pixels).toEqual(whole.pixels);
  // But for the prompts that are kept.
  expect((await runtime.memory()).tensors - before.tensors).toBeLessThanOrEqual(2);
});

it('fails what is under way and what waits when it is disposed of, which ends in the worker within a tile', async () => {
  const runtime = await openHere();
  const tiling = { size: 16, overlap: 8 };
  let [tiles, told] = [0, () => {}];
  const begun = new Promise<void>((resolve) => {
    told = resolve;
  });
  const onProgress = ({ stage }: RuntimeProgress): void => {
    if (stage !== 'restore') return;
    tiles += 1;
    told();
  };
  const calls = [runtime.restore(image(512, 64), { tiling, onProgress }), runtime.segment(image())];
  const ends = Promise.allSettled(calls);
  await begun;
  await runtime.dispose();
  for (const call of await ends) expect(call).toMatchObject({ status: 'rejected', reason: { rule: 'Disposed' } });
  // Of 15 tiles.
  expect(tiles).toBeLessThan(5);
});

it('says where the model looks', async () => {
  const runtime = await openHere();
  const given = image();
  const attention = await runtime.attend(given, { tags: ['sky', 'tree'] });
  const [sky, tree] = await direct.attend(given, { tags: ['sky', 'tree'] });
  expect(attention.tags).toEqual(['sky', 'tree']);
  expect(attention.map('tree')).toEqual(tree);
  expect(attention.map('sky').values).toEqual(sky!.values);
  expect(() => attention.map('car')).toThrow('attention is to a tag that was asked for; got "car"; it was sky, tree');
});

it('says what is wrong with a model, and what is used after its end', async () => {
  await expect(openHere({ model: `${model}/nothing` })).rejects.toMatchObject({
    name: 'RuntimeError',
    rule: 'NoModelIndex',
    message: expect.stringContaining('a diffusers folder has a model_index.json; got none'),
  });
  const runtime = await openHere();
  await runtime.dispose();
  await expect(runtime.segment(image())).rejects.toThrow('runtime: it is used until it is disposed of');
  await expect(openHere({ signal: AbortSignal.abort(new Error('not now')) })).rejects.toThrow('not now');
});

it('says in Node that it needs a worker of a browser, and what works there', async () => {
  await expect(createRuntime({ model })).rejects.toMatchObject({
    name: 'RuntimeError',
    rule: 'NoWorker',
    message:
      'runtime: it computes in a worker of a browser; got none here; in Node use openPipeline of @rass/pipeline/node',
  });
});

it('answers what it does not know by name, and lets alone what other code sends', async () => {
  const runtime = await openHere({ tasks: ['segment'] });
  const [, port] = open.ports as [MessagePort, MessagePort];
  const answers: { id: number; kind: string; error?: { rule: string; message: string } }[] = [];
  port.on('message', (answer) => answers.push(answer));
  const foreign: unknown[] = [
    null,
    undefined,
    'text',
    7,
    [],
    {},
    { id: 'a', call: 'open' },
    { id: 1 },
    { type: 'webpackOk' },
  ];
  for (const each of foreign) port.postMessage(each);
  const numbered: unknown[] = [{ id: 901, call: '__proto__' }, { id: 902, call: 'toString' }, { id: 903, call: 'segment' }, { id: 904, call: 'restore', input: { image: 3 } }, { id: 905, call: 'open', input: {} }]; // biome-ignore format: one line
  for (const each of numbered) port.postMessage(each);
  expect((await runtime.segment(image())).width).toBe(64);
  const refused = answers.filter(({ kind }) => kind === 'failed');
  expect(refused.map(({ id, error }) => [id, error?.rule])).toEqual([901, 902, 903, 904, 905].map((id) => [id, 'BadMessage'])); // biome-ignore format: one line
  expect(refused[0]!.error!.message).toBe(
    'runtime: its worker is sent calls of its own version; got "__proto__"; serve page and worker of one build',
  );
  // What the page's side is sent by others does not disturb it.
  const [other] = open.ports as [MessagePort];
  for (const each of foreign) other.postMessage(each);
  expect((await runtime.segment(image())).width).toBe(64);
});

it('gives every error a rule of those that are documented', async () => {
  const runtime = await openHere({ tasks: ['segment'] });
  const rulesOf = async (work: () => Promise<unknown>): Promise<unknown> =>
    work().then(
      () => 'none',
      (error: RuntimeError) => (error.name === 'RuntimeError' ? error.rule : error),
    );
  expect(await rulesOf(() => runtime.restore(image()))).toBe('NotOpened');
  expect(await rulesOf(() => runtime.attend(image(), { tags: ['sky'] }))).toBe('NotOpened');
  expect(await rulesOf(() => runtime.segment({} as ImageData))).toBe('BadImage');
  expect(await rulesOf(() => runtime.segment(image(), { scales: [Number.NaN] }))).toMatch(/^(BadOption|Failed)$/);
  const segmented = await runtime.segment(image());
  expect(await rulesOf(() => segmented.mask('no such class'))).toBe('BadOption');
  expect(await rulesOf(async () => segmented.overlay(new Picture(image(8, 8))))).toBe('BadOption');
  expect(await rulesOf(() => openHere({ model: 'http://' }))).toBe('BadOption');
  expect(await rulesOf(() => openHere({ device: 'tpu' as 'cpu' }))).toBe('BadOption');
  expect(await rulesOf(() => openHere({ device: 'webgpu', model: 'http://127.0.0.1:9/' }))).toMatch(/^(NoDevice|Unreachable)$/); // biome-ignore format: one line
});
