import { type Piece, runAtOnce, runInPieces } from '@rass/kernels';
import { type Tensor, type TensorContainer, tidy } from '@tensorflow/tfjs-core';

/** One piece of a pass that has just been done. */
export interface PassPiece extends Piece {
  /** In multiplications, as costOf counts. */
  readonly cost: number;
  readonly at: string;
}

/** A pass cut into pieces, so that a page or a server can do something else between two of them. */
export type Work<T> = Generator<PassPiece, T, void>;

export interface Progress {
  /** From 0 to 1, by the work and not by the clock. */
  readonly done: number;
  /** The module that was just computed, in diffusers' spelling. */
  readonly at: string;
}

export interface AsyncOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** The tensors that a pass has alive: no tidy spans an await, so they are freed by hand, and all of them on failure. */
export class Held {
  readonly #tensors = new Set<Tensor>();

  hold<T extends Tensor>(tensor: T): T {
    this.#tensors.add(tensor);
    return tensor;
  }

  /** Disposes of a tensor if it is held: what the caller gave is not, and stays. */
  free(tensor: Tensor): void {
    if (this.#tensors.delete(tensor)) tensor.dispose();
  }

  /** Stops holding a tensor, which now belongs to the caller. */
  release<T extends Tensor>(tensor: T): T {
    this.#tensors.delete(tensor);
    return tensor;
  }

  freeAll(): void {
    for (const tensor of this.#tensors) tensor.dispose();
    this.#tensors.clear();
  }
}

/** tidy, for results whose type is an interface: TensorFlow.js's own signature takes none. */
export function tidied<T extends object>(run: () => T): T {
  return tidy(run as unknown as () => TensorContainer) as unknown as T;
}

/** Runs a pass to its end without a pause, inside the caller's tidy. */
export const runNow = <T>(start: (held: Held) => Work<T>): T => runAtOnce(start(new Held()));

/** Runs a pass with a pause after each piece, in which other work of the event loop gets its turn.
 * @throws the signal's reason when it is aborted; nothing is left behind then */
export async function runPass<T>(
  start: (held: Held) => Work<T>,
  total: number,
  { signal, onProgress }: AsyncOptions,
): Promise<T> {
  const held = new Held();
  let sum = 0;
  const onPiece = ({ cost, at }: PassPiece): void => {
    sum += cost;
    onProgress?.({ done: Math.min(1, sum / total), at });
  };
  try {
    return await runInPieces(start(held), { signal, onPiece });
  } finally {
    held.freeAll();
  }
}
