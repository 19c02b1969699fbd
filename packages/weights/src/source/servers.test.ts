import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { storedFolder } from '../stored/stored-folder.ts';
import { memoryStore } from '../stored/stores.ts';
import { readJson, urlFolder } from './folder.ts';
import { fetchFile, urlSource } from './url-source.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** A server, and how many bytes of bodies it could send. */
async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  server = createServer((request, response) => {
    asked.push(request.headers.range ?? 'none');
    answer(request, response);
  });
  await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.bin`, asked };
}

const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
const MEGABYTE = new Uint8Array(1 << 20);

/** Writes until the other side has enough. */
function endlessly(response: ServerResponse, sent: { bytes: number }): void {
  const more = (): void => {
    while (!response.destroyed && response.write(MEGABYTE)) sent.bytes += MEGABYTE.length;
    if (!response.destroyed) response.once('drain', more);
  };
  more();
}

const partial = (request: IncomingMessage, total: number): [start: number, end: number] => {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  return [Number(from), Math.min(Number(to) + 1, total)];
};

const heads = (response: ServerResponse, start: number, end: number, total = bytes.length): ServerResponse =>
  response.writeHead(206, { 'Content-Range': `bytes ${start}-${end - 1}/${total}`, ETag: '"1"' });

describe('no more is held than was asked for', () => {
  it('of a body without an end', async () => {
    const sent = { bytes: 0 };
    const { url, asked } = await serve((_, response) => endlessly(response, sent));
    await expect(urlSource(url, { maxBytes: 8 << 20 })).rejects.toMatchObject({
      rule: 'TooLarge',
      message: `${url}: a file of a server without ranges has at most 8388608 bytes; got more; let the server answer ranges, or raise maxBytes`,
    });
    expect(asked).toHaveLength(1);
    // What waits in sockets and queues is a few megabytes more.
    expect(sent.bytes).toBeLessThan(64 << 20);
    await expect(fetchFile(url, { maxBytes: 8 << 20 })).rejects.toThrow(
      `${url}: the file has at most 8388608 bytes; got more; check the address, or raise maxBytes`,
    );
    // A small file of a folder has the bound of small files, whatever the folder's is.
    await expect(readJson(urlFolder(new URL('.', url)), 'config.json')).rejects.toMatchObject({ rule: 'TooLarge' });
    await expect(storedFolder(new URL('.', url), { store: memoryStore() })).rejects.toMatchObject({ rule: 'TooLarge' });
  });

  it('of a length that is too large from the start', async () => {
    const { url } = await serve((_, response) => response.writeHead(200, { 'Content-Length': 1e15 }).write('x'));
    await expect(urlSource(url)).rejects.toMatchObject({ rule: 'TooLarge' });
  });

  it('but a large file is begun, where its length is known', async () => {
    let length = 3_500_000_000;
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'Content-Length': length }).write('x', () => response.destroy());
    });
    await expect(urlSource(url, { tries: 1 })).rejects.toMatchObject({ rule: 'Unreachable' });
    await expect(urlSource(url, { tries: 1, maxBytes: 2 ** 31 })).rejects.toMatchObject({ rule: 'TooLarge' });
    length = 20_000_000_000;
    await expect(urlSource(url, { tries: 1 })).rejects.toMatchObject({ rule: 'TooLarge' });
  });

  it('of a body that is small until it is inflated', async () => {
    const bomb = gzipSync(new Uint8Array(64 << 20));
    expect(bomb.length).toBeLessThan(100_000);
    const { url } = await serve((_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb));
    await expect(urlSource(url, { maxBytes: 1 << 20 })).rejects.toMatchObject({ rule: 'TooLarge' });
    expect((await urlSource(url)).size).toBe(64 << 20);
  });

  it('of a part that is longer than it says', async () => {
    const sent = { bytes: 0 };
    const { url, asked } = await serve((request, response) => {
      const [start, end] = partial(request, bytes.length);
      heads(response, start, end);
      endlessly(response, sent);
    });
    await expect(urlSource(url, { blockBytes: 1000 })).rejects.toMatchObject({
      rule: 'BadRangeAnswer',
      message: `${url}: the server sends the 1000 bytes asked for; got more; the server is broken`,
    });
    expect(asked).toHaveLength(1);
    expect(sent.bytes).toBeLessThan(64 << 20);
  });
});

it('does not hold what it has copied of an answer that still comes', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const [count, size] = [64, 1 << 16];
  const sent: WeakRef<Uint8Array>[] = [];
  let held = count;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // Not while what calls this still has the last part on its stack.
      for (let i = 0; i < 3; i++) await setImmediate();
      if (sent.length < count) {
        const part = new Uint8Array(size).fill(sent.length);
        sent.push(new WeakRef(part));
        return controller.enqueue(part);
      }
      collect();
      held = sent.filter((part) => part.deref() !== undefined).length;
      controller.close();
    },
  });
  const total = count * size;
  const headers = { 'Content-Range': `bytes 0-${total - 1}/${total}` };
  const source = await urlSource('http://host/m.bin', {
    first: [0, total],
    fetch: async () => new Response(body, { status: 206, headers }),
  });
  expect((await source.read(total - 1, total))[0]).toBe(count - 1);
  expect(held).toBeLessThan(8);
});

it('ends what waits for a part where fetch does not listen', async () => {
  const headers = { 'Content-Range': 'bytes 0-9/10' };
  const fetchDeaf = async (): Promise<Response> => new Response(new ReadableStream(), { status: 206, headers });
  const opening = urlSource('http://host/m.bin', { fetch: fetchDeaf, stallMs: 20, tries: 1 });
  await expect(opening).rejects.toMatchObject({ rule: 'Stalled' });
  const options = { fetch: fetchDeaf, signal: AbortSignal.timeout(20) };
  await expect(urlSource('http://host/m.bin', options)).rejects.toMatchObject({ name: 'TimeoutError' });
});

describe('no server is waited for without an end', () => {
  const stalls = { stallMs: 500, tries: 2, retryMs: 1 };

  it.each<[string, (request: IncomingMessage, response: ServerResponse) => void, RegExp]>([
    ['says nothing', () => {}, /got no answer; try again, or raise stallMs$/],
    [
      'says nothing after its headers',
      (request, response) => heads(response, ...partial(request, bytes.length)).flushHeaders(),
      // Where this machine itself is slow, the headers are late.
      /got (0 bytes|no answer); try again, or raise stallMs$/,
    ],
    [
      'drips',
      (request, response) => {
        heads(response, ...partial(request, bytes.length));
        const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write('x')), 10);
      },
      /got (\d+ bytes|no answer); try again, or raise stallMs$/,
    ],
  ])('that %s', async (_, answer, text) => {
    const { url } = await serve(answer);
    let tries = 0;
    const counted: typeof fetch = (...input) => {
      tries += 1;
      return fetch(...input);
    };
    const opening = urlSource(url, { ...stalls, fetch: counted });
    await expect(opening).rejects.toMatchObject({ rule: 'Stalled' });
    await expect(opening).rejects.toThrow(`${url}: a server answers, and goes on, within 0.5 s; `);
    await expect(opening).rejects.toThrow(text);
    expect(tries).toBe(2);
  });

  it('that sends on and on', async () => {
    const { url, asked } = await serve((_, response) => response.writeHead(302, { Location: '/m.bin' }).end());
    await expect(urlSource(url)).rejects.toMatchObject({
      rule: 'RedirectLoop',
      message: `${url}: the server sends on to the file at last; got redirect after redirect; open the address in a browser`,
    });
    // One try.
    expect(asked.length).toBeLessThan(25);
  });

  it('while a signal says that it is enough', async () => {
    const { url } = await serve(() => {});
    await expect(urlSource(url, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' });
    const broken = await serve((_, response) => response.destroy());
    const controller = new AbortController();
    const opening = urlSource(broken.url, { signal: controller.signal, retryMs: 60_000 });
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(opening).rejects.toThrow('enough');
  });

  it('and a file that comes slowly is read, as long as it comes', async () => {
    const { url, asked } = await serve((request, response) => {
      const [start, end] = partial(request, bytes.length);
      heads(response, start, end);
      let at = start;
      const timer = setInterval(() => {
        response.write(bytes.subarray(at, Math.min(end, at + 20_000)));
        at += 20_000;
        if (at >= end) response.end(() => clearInterval(timer));
      }, 500);
    });
    const source = await urlSource(url, { ...stalls, stallMs: 2000, blockBytes: bytes.length });
    expect(await source.read(0, bytes.length)).toEqual(bytes);
    expect(asked).toHaveLength(1);
  });
});

describe('a server is asked again', () => {
  it('where an answer breaks, for what is missing alone', async () => {
    let broken = 0;
    const { url, asked } = await serve((request, response) => {
      const [start, end] = partial(request, bytes.length);
      heads(response, start, end);
      if (broken++ < 3) response.write(bytes.subarray(start, start + 1000), () => response.destroy());
      else response.end(bytes.subarray(start, end));
    });
    const source = await urlSource(url, { blockBytes: 5000, retryMs: 1 });
    expect(await source.read(0, 5000)).toEqual(bytes.slice(0, 5000));
    expect(asked).toEqual(['bytes=0-4999', 'bytes=1000-4999', 'bytes=2000-4999', 'bytes=3000-4999']);
  });

  it('where it is overloaded, but not where it refuses', async () => {
    let [status, left] = [503, 2];
    const { url, asked } = await serve((request, response) => {
      if (left-- > 0) return void response.writeHead(status).end();
      const [start, end] = partial(request, bytes.length);
      heads(response, start, end).end(bytes.subarray(start, end));
    });
    expect((await urlSource(url, { retryMs: 1 })).size).toBe(bytes.length);
    expect(asked.splice(0)).toHaveLength(3);
    [status, left] = [403, 2];
    await expect(urlSource(url, { retryMs: 1 })).rejects.toMatchObject({ rule: 'HttpStatus' });
    expect(asked).toHaveLength(1);
  });

  it('for a whole file, too', async () => {
    let left = 1;
    const { url, asked } = await serve((_, response) => {
      response.writeHead(200, { 'Content-Type': 'image/png', 'Content-Length': 5000 });
      if (left-- > 0) response.write(bytes.subarray(0, 1000), () => response.destroy());
      else response.end(bytes.subarray(0, 5000));
    });
    const file = await fetchFile(url, { retryMs: 1 });
    expect([file.type, new Uint8Array(await file.arrayBuffer())]).toEqual(['image/png', bytes.slice(0, 5000)]);
    expect(asked).toEqual(['none', 'none']);
  });

  it('and a file that changed in between is refused', async () => {
    let version = 0;
    const { url } = await serve((request, response) => {
      const [start, end] = partial(request, bytes.length);
      response.writeHead(206, { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}`, ETag: `"${version++}"` });
      response.write(bytes.subarray(start, start + 1000), () => response.destroy());
    });
    await expect(urlSource(url, { retryMs: 1 })).rejects.toMatchObject({ rule: 'SourceChanged' });
  });
});
