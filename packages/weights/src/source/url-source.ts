import { throwIfAborted, WeightsError } from '../error.ts';
import { type Answer, ask, brokenOff, type RequestOptions } from './answers.ts';
import { type ByteSource, blobSource, checkRange } from './byte-source.ts';

/** How a URL is read. */
export interface UrlSourceOptions extends RequestOptions {
  /** Bytes fetched at once when less is asked for, so that small tensors do not cost a request each; default 1 MiB. */
  blockBytes?: number;
  /** What the first request asks for, where it is known what will be read first; default the first block. */
  first?: readonly [start: number, end: number];
  /** Of a file whose server knows no ranges, so that it is held whole; default 16 GiB where it says the file's length, else 2 GiB. */
  maxBytes?: number;
}

const DEFAULT_BLOCK_BYTES = 1 << 20;
const MOST_WHOLE_BYTES = 2 ** 31;
/** Above what is published: what comes is known, and may be refused, before it comes. */
const MOST_DECLARED_BYTES = 2 ** 34;

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

const changed = (name: string): WeightsError =>
  new WeightsError('SourceChanged', `${name}: the file stays the same while it is read; it has changed`);

/** Bytes of a file as they come, over as many answers as it takes. */
class Arriving {
  readonly #url: string;
  readonly #range: readonly [start: number, end: number];
  #arrived: Range | undefined;
  have = 0;

  constructor(url: string, range: readonly [start: number, end: number]) {
    this.#url = url;
    this.#range = range;
  }

  /** What is still to be asked for. */
  get headers(): Record<string, string> {
    const [start, end] = this.#range;
    return { Range: `bytes=${start + this.have}-${end - 1}`, 'Accept-Encoding': 'identity' };
  }

  #check({ headers }: Answer): Range {
    const [start, end] = this.#range;
    const got = parseContentRange(this.#url, headers.get('Content-Range'));
    const wanted = Math.min(end, got.total);
    // A server that begins anew.
    if (got.start === start) this.have = 0;
    const from = start + this.have;
    if (got.start !== from || got.end !== wanted) {
      throw new WeightsError(
        'BadRangeAnswer',
        `${this.#url}: the server sends the bytes asked for, ${from} to ${wanted}; got ${got.start} to ${got.end}`,
      );
    }
    const tag = headers.get('ETag') ?? headers.get('Last-Modified');
    const known = this.#arrived;
    if (known !== undefined && (known.total !== got.total || known.tag !== tag)) throw changed(this.#url);
    this.#arrived = known ?? { bytes: new Uint8Array(wanted - start), total: got.total, tag };
    return this.#arrived;
  }

  /** Takes a partial answer's bytes. @throws WeightsError `BadRangeAnswer` for others, or for more, than were asked for */
  async take(answer: Answer): Promise<Range> {
    const range = this.#check(answer);
    const { bytes } = range;
    for await (const part of answer.parts()) {
      if (this.have + part.byteLength > bytes.byteLength) {
        throw new WeightsError(
          'BadRangeAnswer',
          `${this.#url}: the server sends the ${bytes.byteLength} bytes asked for; got more; the server is broken`,
        );
      }
      bytes.set(part, this.have);
      this.have += part.byteLength;
    }
    if (this.have < bytes.byteLength) throw brokenOff(this.#url, this.have, bytes.byteLength);
    return range;
  }
}

/** How large a body may be, and what is said of one that is larger. */
interface Bound {
  readonly most: number;
  /** Where the server says its length. */
  readonly mostDeclared: number;
  readonly rule: string;
  readonly remedy: string;
}

/** A whole body. @throws WeightsError `TooLarge` as soon as that is known */
async function readWhole(url: string, answer: Answer, bound: Bound): Promise<Blob> {
  const { headers } = answer;
  const { rule, remedy } = bound;
  const declared = headers.get('Content-Encoding') === null ? headers.get('Content-Length') : null;
  const most = declared === null ? bound.most : bound.mostDeclared;
  const check = (bytes: number, of: string): void => {
    if (bytes <= most) return;
    throw new WeightsError('TooLarge', `${url}: ${rule} at most ${most} bytes; got ${of}; ${remedy}`);
  };
  if (declared !== null) check(Number(declared), declared);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const part of answer.parts()) {
    bytes += part.byteLength;
    check(bytes, 'more');
    parts.push(part);
  }
  if (declared !== null && bytes < Number(declared)) throw brokenOff(url, bytes, Number(declared));
  return new Blob(parts);
}

const MOST_FILE_BYTES = 2 ** 28;

/** A small file of the web, whole, such as a photograph; asked for again where its server does not answer, breaks off or stalls.
 * @throws WeightsError as urlSource */
export function fetchFile(
  url: string | URL,
  { maxBytes = MOST_FILE_BYTES, ...options }: Omit<UrlSourceOptions, 'first' | 'blockBytes'> = {},
): Promise<Blob> {
  const name = String(url);
  const remedy = 'check the address, or raise maxBytes';
  const bound = { most: maxBytes, mostDeclared: maxBytes, rule: 'the file has', remedy };
  return ask(
    name,
    options,
    () => ({}),
    async (answer) => {
      if (answer.status !== 200) answer.refuse();
      const blob = await readWhole(name, answer, bound);
      return new Blob([blob], { type: answer.headers.get('Content-Type') ?? '' });
    },
  );
}

/** A source over HTTP range requests. A server that ignores ranges is read whole, once, into a Blob. What breaks or stalls is tried again,
 * from where it broke; no more is held than was asked for.
 * @throws WeightsError `Unreachable`, `Stalled`, `RedirectLoop`, `NotFound`, `HttpStatus`, `BadRangeAnswer`, `TooLarge`, `SourceChanged` */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<ByteSource> {
  const name = String(url);
  const { blockBytes = DEFAULT_BLOCK_BYTES, maxBytes, first } = options;
  const [from, to] = first ?? [0, blockBytes];
  const arriving = new Arriving(name, [from, to]);
  const rule = 'a file of a server without ranges has';
  const bound = {
    most: maxBytes ?? MOST_WHOLE_BYTES,
    mostDeclared: maxBytes ?? MOST_DECLARED_BYTES,
    rule,
    remedy: 'let the server answer ranges, or raise maxBytes',
  };
  const head = await ask<Range | ByteSource | undefined>(
    name,
    options,
    () => arriving.headers,
    async (answer) => {
      // 416 is what a range of an empty file gets, or one behind the end.
      if (answer.status === 416) return from > 0 ? undefined : blobSource(new Blob([]), name);
      if (answer.status === 200) return blobSource(await readWhole(name, answer, bound), name);
      return answer.status === 206 ? arriving.take(answer) : answer.refuse();
    },
    () => arriving.have,
  );
  if (head === undefined) return urlSource(url, { ...options, first: undefined });
  return 'read' in head ? head : rangeSource(name, options, head, from);
}

/** A file whose first block has come. */
function rangeSource(name: string, options: UrlSourceOptions, head: Range, from: number): ByteSource {
  const blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
  const fetchRange = async (start: number, end: number, signal?: AbortSignal) => {
    const arriving = new Arriving(name, [start, end]);
    const range = await ask(
      name,
      { ...options, signal },
      () => arriving.headers,
      (answer) => (answer.status === 206 ? arriving.take(answer) : answer.refuse()),
      () => arriving.have,
    );
    if (range.total !== head.total || range.tag !== head.tag) throw changed(name);
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
      if (start < block.start || end > block.start + bytes.byteLength) {
        if (end - start >= blockBytes) return fetchRange(start, end, signal);
        block = { start, bytes: await fetchRange(start, Math.min(start + blockBytes, head.total), signal) };
      }
      return block.bytes.slice(start - block.start, end - block.start);
    },
    async close() {
      block = { start: 0, bytes: new Uint8Array(0) };
    },
  };
}
