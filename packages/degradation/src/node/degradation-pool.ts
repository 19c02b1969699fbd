import { availableParallelism } from 'node:os';
import type { Degraded } from '../degrade.ts';
import type { FloatImage, RgbImage } from '../image.ts';
import { checkSeed } from '../random/random-stream.ts';
import { checkSettings } from '../settings/check.ts';
import type { DegradationSettings } from '../settings/settings.ts';
import { inOrder } from './in-order.ts';
import { Threads } from './threads.ts';

/** An image to degrade. */
export interface DegradationJob<Image extends RgbImage | FloatImage = RgbImage | FloatImage> {
  readonly image: Image;
  readonly seed: number;
}

/** What has become of one: the images of others come whatever happens to it. */
export type DegradationOutcome<Image extends RgbImage | FloatImage> =
  | ({ readonly index: number; readonly error?: undefined } & Degraded<Image>)
  | { readonly index: number; readonly error: Error };

export interface PoolOptions {
  /** As many as the machine runs at once where not said. */
  readonly threads?: number;
  /** How many images of a list are taken and not handed out, at most; twice the threads where not said. */
  readonly ahead?: number;
}

/** Threads that degrade images as degrade does, to the byte. Images that are given stay the caller's. */
export interface DegradationPool {
  readonly threads: number;
  /** @throws what degrade throws, the signal's reason, and when the pool is closed */
  degrade<Image extends RgbImage | FloatImage>(
    image: Image,
    options: { readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<Degraded<Image>>;
  /** Degrades a list of any length, in its order.
   * @throws the signal's reason; what the list itself throws, after the images before */
  inOrder<Image extends RgbImage | FloatImage>(
    jobs: Iterable<DegradationJob<Image>> | AsyncIterable<DegradationJob<Image>>,
    options?: { readonly signal?: AbortSignal },
  ): AsyncGenerator<DegradationOutcome<Image>, void, undefined>;
  /** Ends every thread; what is under way fails. */
  close(): Promise<void>;
}

function checkCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new Error(`openDegradationPool: ${name} is a whole number above 0; got ${value}; leave it out for the usual`);
}

/** Opens a pool; threads start when they are first needed, and idle ones do not keep the program alive.
 * @throws when a setting or an option is not as it must be */
export function openDegradationPool(
  settings: DegradationSettings,
  { threads = availableParallelism(), ahead = 2 * threads }: PoolOptions = {},
): DegradationPool {
  checkCount('threads', threads);
  checkCount('ahead', ahead);
  const workers = new Threads(checkSettings('openDegradationPool', settings), threads);
  const degrade = async <Image extends RgbImage | FloatImage>(
    image: Image,
    { seed, signal }: { readonly seed: number; readonly signal?: AbortSignal },
  ): Promise<Degraded<Image>> => {
    checkSeed('degrade', seed);
    // A copy to give away: of a part of a buffer, all of the buffer would be sent.
    const { width, height } = image;
    const job = { image: { width, height, data: image.data.slice() } as RgbImage | FloatImage, seed };
    return (await workers.run(job, signal)) as Degraded<Image>;
  };
  return {
    threads,
    degrade,
    async *inOrder<Image extends RgbImage | FloatImage>(
      jobs: Iterable<DegradationJob<Image>> | AsyncIterable<DegradationJob<Image>>,
      { signal }: { readonly signal?: AbortSignal } = {},
    ) {
      const run = (job: DegradationJob<Image>, stop: AbortSignal) =>
        degrade(job.image, { seed: job.seed, signal: stop });
      for await (const { index, result, error } of inOrder(jobs, run, ahead, signal)) {
        // A closed pool has nothing to say of the rest of the list.
        if (error !== undefined && workers.closed) throw error;
        yield result === undefined ? { index, error: error! } : { index, ...result };
      }
    },
    close: () => workers.close(),
  };
}
