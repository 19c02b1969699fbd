import { throwIfAborted, WeightsError } from '../error.ts';
import { type ByteSource, blobSource, checkRange } from './byte-source.ts';

/** How a URL is read. */
export interface UrlSourceOptions {
  /** Sent with every request, for example `{ Authorization: 'Bearer ...' }`. */
  headers?: Record<string, string>;
  /** In place of the global fetch: to retry, to count, to test. */
  fetch?: typeof fetch;
  signal?: AbortSignal;
  /** Bytes fetched at once when less is asked for, so that small tensors do not cost a request each; default 1 MiB. */
  blockBytes?: number;
  /** What the first request asks for, where it is known what will be read first; default the first block. */
  first?: readonly [start: number, end: number];
}

const DEFAULT_BLOCK_BYTES = 1 << 20;

interface Range {
  bytes: Uint8Array<ArrayBuffer>;
  total: number;
  tag: string | null;
}

function parseContentRange(name: string, header: string | null): { start: number; end: number; total: number } {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '');
  if (match === null) {
    throw new WeightsError(
      'BadRangeAnswer',
      `${name}: a partial answer says which bytes it holds and of how many; got Content-Range "${header ?? ''}"; ` +
        'the server must send it, and across origins list it in Access-Control-Expose-Headers',
    );
  }
  return { start: Number(match[1]), end: Number(match[2]) + 1, total: Number(match[3]) };
}

function unreachable(url: string, cause: unknown, signal?: AbortSignal): never {
  throwIfAborted(signal);
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new WeightsError('Unreachable', `${url}: the server answers; got "${reason}"`, { cause });
}

/** An answer's body, at which the connection may still break. */
const bodyOf = <T>(url: string, reading: Promise<T>, signal?: AbortSignal): Promise<T> =>
  reading.catch((cause) => unreachable(url, cause, signal));

async function request(url: string, options: UrlSourceOptions, range: string, signal?: AbortSignal): Promise<Response> {
  const get = options.fetch ?? fetch;
  try {
    const headers = { ...options.headers, Range: range, 'Accept-Encoding': 'identity' };
    return await get(url, { headers, signal });
  } catch (cause) {
    return unreachable(url, cause, signal);
  }
}

function refuseStatus(url: string, response: Response): never {
  throw new WeightsError(
    response.status === 404 || response.status === 410 ? 'NotFound' : 'HttpStatus',
    `${url}: the server answers 200 or 206; got ${response.status} ${response.statusText}`.trimEnd(),
  );
}

async function readPartial(
  url: string,
  response: Response,
  [start, end]: readonly [number, number],
  signal?: AbortSignal,
): Promise<Range> {
  const got = parseContentRange(url, response.headers.get('Content-Range'));
  const bytes = new Uint8Array(await bodyOf(url, response.arrayBuffer(), signal));
  const wanted = Math.min(end, got.total);
  if (got.start !== start || got.end !== wanted || bytes.byteLength !== wanted - start) {
    throw new WeightsError(
      'BadRangeAnswer',
      `${url}: the server sends the bytes asked for, ${start} to ${wanted}; got ${got.start} to ${got.end}, ` +
        `${bytes.byteLength} bytes`,
    );
  }
  return { bytes, total: got.total, tag: response.headers.get('ETag') ?? response.headers.get('Last-Modified') };
}

/** A source over HTTP range requests. A server that ignores ranges is read whole, once, into a Blob.
 * @throws WeightsError `Unreachable`, `NotFound`, `HttpStatus`, `BadRangeAnswer`, `SourceChanged` */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<ByteSource> {
  const name = String(url);
  const blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
  const [from, to] = options.first ?? [0, blockBytes];
  const first = await request(name, options, `bytes=${from}-${to - 1}`, options.signal);
  // 416 is what a range of an empty file gets, or one behind the end.
  if (first.status === 416)
    return from > 0 ? urlSource(url, { ...options, first: undefined }) : blobSource(new Blob([]), name);
  if (first.status === 200) return blobSource(await bodyOf(name, first.blob(), options.signal), name);
  if (first.status !== 206) refuseStatus(name, first);
  const head = await readPartial(name, first, [from, to], options.signal);

  const fetchRange = async (start: number, end: number, signal?: AbortSignal) => {
    const response = await request(name, options, `bytes=${start}-${end - 1}`, signal);
    if (response.status !== 206) refuseStatus(name, response);
    const range = await readPartial(name, response, [start, end], signal);
    if (range.total !== head.total || range.tag !== head.tag) {
      throw new WeightsError('SourceChanged', `${name}: the file stays the same while it is read; it has changed`);
    }
    return range.bytes;
  };

  let block = { start: from, bytes: head.bytes };
  return {
    name,
    size: head.total,
    async read(start, end, signal = options.signal) {
      throwIfAborted(signal);
      checkRange(name, head.total, start, end);
      const { bytes } = block;
      if (start === block.start && end === start + bytes.byteLength && options.first !== undefined) {
        // Given away: it may be large.
        block = { start: 0, bytes: new Uint8Array(0) };
        return bytes;
      }
      if (end - start >= blockBytes) return fetchRange(start, end, signal);
      if (start < block.start || end > block.start + bytes.byteLength) {
        block = { start, bytes: await fetchRange(start, Math.min(start + blockBytes, head.total), signal) };
      }
      return block.bytes.slice(start - block.start, end - block.start);
    },
    async close() {
      block = { start: 0, bytes: new Uint8Array(0) };
    },
  };
}
