import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackendError, messageOf } from '../errors.ts';
import { askWithin, OtherBodyError, RefusedError } from './bounded-body.ts';
import { FETCHING_WHEELS, type Fetching, type IndexFile } from './package-index.ts';

const ATTEMPTS = 5;
/** Of a file whose size no index tells; the largest wheels have half of it. */
const MOST_BYTES = 2 ** 31;

/** The SHA-256 of a file, in hexadecimal. */
export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const refused = (status: number): RefusedError =>
  new RefusedError(`status ${status}`, status >= 400 && status < 500 && status !== 408 && status !== 429);

/** How many bytes of a partial answer may come, after those that are here. @throws OtherBodyError for another part */
function partBytes(header: string | null, have: number): number {
  const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(header ?? '') ?? [];
  if (start === undefined) return Number.POSITIVE_INFINITY;
  if (Number(start) !== have) throw new OtherBodyError(`bytes from ${start} in place of those from ${have}`);
  return Number(end) + 1 - have;
}

interface Fetched {
  readonly part: string;
  readonly onBytes: (bytes: number) => void;
  readonly stallMs?: number;
}

async function fetchRest(file: IndexFile, { part, onBytes, ...how }: Fetched): Promise<void> {
  const here = existsSync(part) ? statSync(part).size : 0;
  const headers: Record<string, string> = here > 0 ? { range: `bytes=${here}-` } : {};
  await askWithin(file.url, headers, how, async (response, parts) => {
    // 416: the part is already whole, or longer than the file; the hash will tell.
    if (response.status === 416) return;
    if (!response.ok || response.body === null) throw refused(response.status);
    const have = response.status === 206 ? here : 0;
    const most = Math.min(file.size ?? MOST_BYTES, MOST_BYTES) - have;
    const asked = response.status === 206 ? partBytes(response.headers.get('content-range'), have) : most;
    const count = async function* (source: AsyncIterable<Uint8Array>) {
      let done = have;
      for await (const chunk of source) {
        done += chunk.length;
        onBytes(done);
        yield chunk;
      }
    };
    await pipeline(parts(Math.min(most, asked)), count, createWriteStream(part, { flags: have > 0 ? 'a' : 'w' }));
  });
}

/** How a file is downloaded. */
export interface DownloadOptions {
  retryDelayMs?: number;
  /** Milliseconds in which the server has to answer, and to send each 16 KiB; default 30,000. */
  stallMs?: number;
  fetching?: Fetching;
}

/** Downloads a file to `target`: resumes what an earlier try left, tries again, checks the hash, then renames. No more comes than its index
 * says, or 2 GiB, and no server is waited for that sends nothing.
 * @throws BackendError when the network gives up or the hash differs */
export async function downloadFile(
  file: IndexFile,
  target: string,
  onBytes: (bytes: number) => void = () => {},
  { retryDelayMs = 1_000, stallMs, fetching = FETCHING_WHEELS }: DownloadOptions = {},
): Promise<void> {
  const part = `${target}.part`;
  for (let attempt = 1; ; attempt++) {
    try {
      await fetchRest(file, { part, onBytes, ...(stallMs !== undefined && { stallMs }) });
      break;
    } catch (error) {
      // What came is not the file, or not this part of it.
      if (error instanceof OtherBodyError) rmSync(part, { force: true });
      if (attempt === ATTEMPTS || (error instanceof RefusedError && error.isFinal)) {
        throw new BackendError(
          'install-failed',
          `${fetching.command}: ${file.name} must download; after ${attempt} ${attempt === 1 ? 'try' : 'tries'}: ${messageOf((error as Error).cause ?? error)}; ` +
            `run the command again to go on where it stopped, or ${fetching.otherwise}`,
          { cause: error },
        );
      }
      await sleep(retryDelayMs * attempt);
    }
  }
  const found = await sha256OfFile(part);
  if (found !== file.sha256) {
    rmSync(part, { force: true });
    throw hashMismatch(file.name, file.sha256, found, fetching);
  }
  renameSync(part, target);
}

/** The error for a file whose content is not what its index or our pin says. */
export function hashMismatch(
  name: string,
  expected: string,
  found: string,
  { command }: Fetching = FETCHING_WHEELS,
): BackendError {
  return new BackendError(
    'install-failed',
    `${command}: ${name} must have SHA-256 ${expected}; got ${found}; the file was damaged or replaced, fetch it again from another index`,
  );
}
