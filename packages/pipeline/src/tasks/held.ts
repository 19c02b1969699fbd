import { dispose, type TensorContainer } from '@tensorflow/tfjs-core';

/** Takes what is to be freed when the work ends, and gives it back. */
type Hold = <T extends TensorContainer>(made: T) => T;

/** Runs work that pauses, which no tidy spans: what it holds is freed at its end, whatever happens. */
export async function holding<T>(work: (hold: Hold) => Promise<T>): Promise<T> {
  const held: TensorContainer[] = [];
  try {
    return await work((made) => {
      held.push(made);
      return made;
    });
  } finally {
    dispose(held);
  }
}
