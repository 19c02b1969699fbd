import { slice, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** A GPU works behind the calls that feed it: one value read back says that it has come this far. */
async function computed(tensor: Tensor): Promise<void> {
  const corner = tidy(() =>
    slice(
      tensor,
      tensor.shape.map(() => 0),
      tensor.shape.map(() => 1),
    ),
  );
  await corner.data().finally(() => corner.dispose());
}

/** One piece of a long work that has just been done. */
export interface Piece {
  /** What it made, to be waited for. */
  readonly made: Tensor;
}

/** Runs work that is cut into pieces to its end, without a pause. */
export function runAtOnce<T>(work: Generator<Piece, T, void>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

export interface PieceOptions<P extends Piece> {
  readonly signal?: AbortSignal;
  /** Told of each piece, and how many are done. */
  readonly onPiece?: (piece: P, done: number) => void;
}

/** Runs work with a pause after each piece, once the device has computed it, in which other work of the event loop gets its turn. Work that
 * is given up, for a signal or an error, is told so by an exception where it stands, and frees what it holds. @throws also the signal's reason */
export async function runInPieces<P extends Piece, T>(
  work: Generator<P, T, void>,
  { signal, onPiece }: PieceOptions<P>,
): Promise<T> {
  signal?.throwIfAborted();
  for (let done = 1; ; done++) {
    const step = work.next();
    if (step.done) return step.value;
    try {
      await computed(step.value.made);
      await new Promise((resolve) => setTimeout(resolve));
      onPiece?.(step.value, done);
      signal?.throwIfAborted();
    } catch (error) {
      work.throw(error);
    }
  }
}
