import { computed } from '@rass/kernels';
import type { Tensor } from '@tensorflow/tfjs-core';

/** Work cut into pieces: it gives what each has made, to be waited for, and frees what it holds when it is given up. */
export type Work<T> = Generator<Tensor, T, void>;

/** Runs work to its end without a pause. */
export function runAtOnce<T>(work: Work<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

export interface PieceOptions {
  readonly signal?: AbortSignal;
  /** Told how many pieces are done. */
  readonly onPiece?: (done: number) => void;
}

/** Runs work with a pause after each piece, in which a page stays alive and the signal can stop it.
 * @throws also the signal's reason; the work has freed what it held then */
export async function runInPieces<T>(work: Work<T>, { signal, onPiece }: PieceOptions): Promise<T> {
  signal?.throwIfAborted();
  for (let done = 1; ; done++) {
    const step = work.next();
    if (step.done) return step.value;
    try {
      await computed(step.value);
      onPiece?.(done);
      await new Promise((resolve) => setTimeout(resolve));
      signal?.throwIfAborted();
    } catch (error) {
      work.throw(error);
    }
  }
}
