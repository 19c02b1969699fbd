import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../open.ts';
import { encodeSafetensors, type TensorToWrite } from '../safetensors/write.ts';
import { blobSource, bufferSource, sliceSource } from './byte-source.ts';
import { blobFolder, checkInside, urlFolder } from './folder.ts';
import { urlSource } from './url-source.ts';

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server = undefined;
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.bin`;
}

/** A server that understands ranges; what it was asked for is in `ranges`. */
function withRanges(data: Uint8Array, ranges: string[], headers: Record<string, string> = {}) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    ranges.push(request.headers.range ?? 'none');
    const end = Math.min(Number(to) + 1, data.length);
    const range = `bytes ${from}-${end - 1}/${data.length}`;
    response.writeHead(206, { 'Content-Range': range, ETag: '"1"', ...headers });
    response.end(data.subarray(Number(from), end));
  };
}

describe('memory, Blobs and parts of sources', () => {
  it('give the bytes asked for, as a copy that starts its buffer', async () => {
    for (const source of [
      bufferSource(Buffer.from(bytes)),
      bufferSource(bytes.buffer),
      blobSource(new Blob([bytes])),
    ]) {
      expect(source.size).toBe(1000);
      const part = await source.read(3, 7);
      expect([...part]).toEqual([3, 4, 5, 6]);
      expect(part.byteOffset).toBe(0);
      expect(part.buffer.byteLength).toBe(4);
      part.fill(0);
      expect([...(await source.read(3, 5))]).toEqual([3, 4]);
      await source.close();
    }
    const slice = sliceSource(bufferSource(bytes), 100, 110);
    expect([...(await slice.read(8, 10))]).toEqual([108, 109]);
    await expect(slice.read(8, 11)).rejects.toThrow('a range lies inside the 10 bytes; got 8 to 11');
  });

  it.each([
    [-1, 2],
    [5, 4],
    [0, 1001],
    [0.5, 2],
    [0, Number.NaN],
  ])('refuse the range %s to %s', async (start, end) => {
    await expect(bufferSource(bytes, 'm').read(start, end)).rejects.toThrow(/^m: a range lies inside the 1000 bytes/);
    await expect(blobSource(new Blob([bytes])).read(start, end)).rejects.toMatchObject({ rule: 'RangeOutside' });
  });

  it('are called by a File’s own name', () => {
    expect(blobSource(new File([bytes], 'unet.safetensors')).name).toBe('unet.safetensors');
  });
});

describe('a URL', () => {
  it('is read by ranges, small reads in blocks', async () => {
    const ranges: string[] = [];
    const source = await urlSource(await serve(withRanges(bytes, ranges)), { blockBytes: 100 });
    expect(source.size).toBe(1000);
    expect([...(await source.read(10, 13))]).toEqual([10, 11, 12]);
    expect([...(await source.read(700, 702))]).toEqual([...bytes.subarray(700, 702)]);
    expect([...(await source.read(750, 800))]).toEqual([...bytes.subarray(750, 800)]);
    expect(await source.read(200, 450)).toEqual(bytes.slice(200, 450));
    expect([...(await source.read(998, 1000))]).toEqual([...bytes.subarray(998)]);
    expect(ranges).toEqual(['bytes=0-99', 'bytes=700-799', 'bytes=200-449', 'bytes=998-999']);
    await expect(source.read(0, 1001)).rejects.toMatchObject({ rule: 'RangeOutside' });
  });

  it('is opened with what will be read first', async () => {
    const ranges: string[] = [];
    const url = await serve((request, response) => {
      const start = Number(/^bytes=(\d+)/.exec(request.headers.range ?? '')![1]);
      if (start < bytes.length) return withRanges(bytes, ranges)(request, response);
      ranges.push(request.headers.range!);
      response.writeHead(416).end();
    });
    const source = await urlSource(url, { blockBytes: 1, first: [200, 300] });
    expect(source.size).toBe(1000);
    expect(await source.read(200, 300)).toEqual(bytes.slice(200, 300));
    expect(await source.read(950, 1000)).toEqual(bytes.slice(950));
    expect(ranges.splice(0)).toEqual(['bytes=200-299', 'bytes=950-999']);
    expect((await urlSource(url, { blockBytes: 10, first: [2000, 3000] })).size).toBe(1000);
    expect(ranges).toEqual(['bytes=2000-2999', 'bytes=0-9']);
  });

  it('whose server ignores ranges is fetched once, whole', async () => {
    let requests = 0;
    const url = await serve((_, response) => {
      requests++;
      response.end(bytes);
    });
    const source = await urlSource(url);
    expect(source.size).toBe(1000);
    expect(await source.read(500, 900)).toEqual(bytes.slice(500, 900));
    expect(await source.read(0, 1000)).toEqual(bytes);
    expect(requests).toBe(1);
  });

  it('sends the headers it is given', async () => {
    let got: unknown;
    const answer = withRanges(bytes, []);
    const url = await serve((request, response) => {
      got = request.headers.authorization;
      answer(request, response);
    });
    await urlSource(url, { headers: { Authorization: 'Bearer x' } });
    expect(got).toBe('Bearer x');
  });

  it.each([
    [404, 'NotFound', /the server answers 200 or 206; got 404 Not Found/],
    [403, 'HttpStatus', /got 403 Forbidden/],
    [500, 'HttpStatus', /got 500/],
  ])('that answers %s is refused', async (status, rule, text) => {
    const url = await serve((_, response) => {
      response.writeHead(status);
      response.end('no');
    });
    await expect(urlSource(url, { retryMs: 1 })).rejects.toMatchObject({ rule });
    await expect(urlSource(url, { retryMs: 1 })).rejects.toThrow(text);
  });

  it('that does not answer is refused', async () => {
    const failing = () => Promise.reject(new TypeError('fetch failed'));
    await expect(urlSource('http://127.0.0.1:9/m', { fetch: failing, retryMs: 1 })).rejects.toThrow(
      'http://127.0.0.1:9/m: the server answers; got "fetch failed"',
    );
  });

  it.each([
    ['bytes 0-9/*', /says which bytes it holds and of how many; got Content-Range "bytes 0-9\/\*"/],
    ['bytes 5-99/1000', /the server sends the bytes asked for, 0 to 100; got 5 to 100/],
    ['bytes 0-49/1000', /got 0 to 50/],
  ])('whose partial answer is wrong is refused: %s', async (range, text) => {
    const url = await serve((_, response) => {
      response.writeHead(206, { 'Content-Range': range });
      response.end(bytes.subarray(0, 100));
    });
    await expect(urlSource(url, { blockBytes: 100 })).rejects.toMatchObject({ rule: 'BadRangeAnswer' });
    await expect(urlSource(url, { blockBytes: 100 })).rejects.toThrow(text);
  });

  it('whose connection breaks in the middle of an answer says so', async () => {
    const url = await serve((_, response) => {
      response.writeHead(206, { 'Content-Range': 'bytes 0-99/1000', 'Content-Length': 100 });
      response.write(bytes.subarray(0, 50), () => response.destroy());
    });
    const opening = urlSource(url, { blockBytes: 100, retryMs: 1 });
    await expect(opening).rejects.toMatchObject({ rule: 'Unreachable' });
    await expect(opening).rejects.toThrow(`${url}: the server answers; got "`);
  });

  it('whose file changes while it is read is refused', async () => {
    let version = 1;
    const url = await serve((request, response) => {
      withRanges(bytes, [], { ETag: `"${version++}"` })(request, response);
    });
    const source = await urlSource(url, { blockBytes: 100 });
    await expect(source.read(500, 700)).rejects.toMatchObject({ rule: 'SourceChanged' });
  });

  it('stops when it is told to', async () => {
    const url = await serve(() => {});
    const stop = new AbortController();
    const opened = urlSource(url, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(opened).rejects.toThrow('enough');
  });
});

describe('a checkpoint on the web', () => {
  const tensors = {
    a: { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) },
    b: { dtype: 'F32', shape: [300], data: new Float32Array(300).fill(3) },
  } satisfies Record<string, TensorToWrite>;

  it('is opened by its URL, without reading what is not asked for', async () => {
    const ranges: string[] = [];
    const url = await serve(withRanges(await encodeSafetensors(tensors), ranges));
    const checkpoint = await openCheckpoint(url, { blockBytes: 256 });
    expect((await checkpoint.read('a')).data).toEqual(Float32Array.of(1, 2));
    expect(ranges).toEqual(['bytes=0-255']);
    expect((await checkpoint.read('b')).data).toEqual(new Float32Array(300).fill(3));
    expect(ranges).toHaveLength(2);
  });

  it('finds the shards beside its index', async () => {
    const files: Record<string, Uint8Array> = {
      '/m.bin': new TextEncoder().encode('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'),
      '/one.safetensors': await encodeSafetensors({ a: tensors.a }),
      '/two.safetensors': await encodeSafetensors({ b: tensors.b }),
    };
    const url = await serve((request, response) => withRanges(files[request.url ?? ''], [])(request, response));
    const checkpoint = await openCheckpoint(new URL(url));
    expect(checkpoint.keys()).toEqual(['a', 'b']);
    expect((await checkpoint.read('b')).shape).toEqual([300]);
  });

  it('is opened from a Blob and from memory too, and a bare text is not taken for a path', async () => {
    const file = await encodeSafetensors(tensors);
    expect((await openCheckpoint(new Blob([file]))).keys()).toEqual(['a', 'b']);
    expect((await openCheckpoint(file.buffer)).keys()).toEqual(['a', 'b']);
    await expect(openCheckpoint('unet.safetensors')).rejects.toThrow(
      'openCheckpoint: a text is a URL; got "unet.safetensors"; for files import openCheckpoint from @rass/weights/node',
    );
    const index = new TextEncoder().encode('{"weight_map": {"a": "one.safetensors"}}');
    await expect(openCheckpoint(index)).rejects.toThrow(
      'buffer: an index needs its shards; got no folder; pass options.folder',
    );
    const folder = blobFolder({ 'one.safetensors': new Blob([await encodeSafetensors({ a: tensors.a })]) });
    expect((await openCheckpoint(index, { folder })).keys()).toEqual(['a']);
  });
});

describe('a folder', () => {
  it('on the web keeps its query and escapes names', async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      if (request.url?.includes('none')) response.writeHead(404).end();
      else withRanges(bytes, [])(request, response);
    });
    const folder = urlFolder(`${url.replace('/m.bin', '/model')}?token=1`);
    expect((await folder.open('unet/a b.json'))?.size).toBe(1000);
    expect(await folder.open('none.json')).toBeUndefined();
    expect(asked).toEqual(['/model/unet/a%20b.json?token=1', '/model/none.json?token=1']);
  });

  it.each(['', '..', 'a/../b', '/a', 'a//b', './a', 'a\\b', 'c:a', 'a\0'])('does not open the path %j', (path) => {
    expect(() => checkInside(path)).toThrow("folder: a file's path stays inside the folder");
  });
});
