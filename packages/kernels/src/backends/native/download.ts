import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackendError, messageOf } from '../errors.ts';
import { FETCHING_WHEELS, type Fetching, type IndexFile } from './package-index.ts';

const ATTEMPTS = 5;

/** The SHA-256 of a file, in hexadecimal. */
export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** An answer that is not the file. Asking again helps against an overloaded server, not against a refusal. */
class RefusedError extends Error {
  readonly isFinal: boolean;

  constructor(status: number) {
    super(`status ${status}`);
    this.isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  }
}

async function fetchRest(file: IndexFile, part: string, onBytes: (bytes: number) => void): Promise<void> {
  let have = existsSync(part) ? statSync(part).size : 0;
  const response = await fetch(file.url, have > 0 ? { headers: { range: `bytes=${have}-` } } : {});
  // 416: the part is already whole, or longer than the file; the hash will tell.
  if (response.status === 416) return;
  if (!response.ok || response.body === null) throw new RefusedError(response.status);
  if (response.status !== 206) have = 0;
  const count = async function* (source: AsyncIterable<Buffer>) {
    let done = have;
    for await (const chunk of source) {
      done += chunk.length;
      onBytes(done);
      yield chunk;
    }
  };
  const out = createWriteStream(part, { flags: have > 0 ? 'a' : 'w' });
  await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), count, out);
}

/** Downloads a file to `target`: resumes what an earlier try left, tries again, checks the hash, then renames.
 * @throws BackendError when the network gives up or the hash differs */
export async function downloadFile(
  file: IndexFile,
  target: string,
  onBytes: (bytes: number) => void = () => {},
  { retryDelayMs = 1_000, fetching = FETCHING_WHEELS }: { retryDelayMs?: number; fetching?: Fetching } = {},
): Promise<void> {
  const part = `${target}.part`;
  for (let attempt = 1; ; attempt++) {
    try {
      await fetchRest(file, part, onBytes);
      break;
    } catch (error) {
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
