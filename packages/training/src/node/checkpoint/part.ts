import type { Variable } from '@tensorflow/tfjs-core';
import type { Stateful } from '../../stateful.ts';

/** One file of a checkpoint: variables by key, or something with tensors and numbers, such as an optimiser. */
export type Part = Stateful | Readonly<Record<string, Variable>>;

/** What is trained and how far it has come: `{ parameters, optimizer, average }`. */
export type Parts = Readonly<Record<string, Part>>;

const isStateful = (part: Part): part is Stateful => typeof (part as Partial<Stateful>).restoreNumbers === 'function';

/** The variables of a part. @throws on a tensor that is not float32 */
export function tensorsOf(name: string, part: Part): Readonly<Record<string, Variable>> {
  const tensors = isStateful(part) ? part.tensors : part;
  const other = Object.keys(tensors).find((key) => tensors[key].dtype !== 'float32');
  if (other === undefined) return tensors;
  const { dtype } = tensors[other];
  throw new Error(
    `checkpoint: tensors are float32; got ${dtype} for "${other}" of "${name}"; save it among the values`,
  );
}

export const numbersOf = (part: Part): Readonly<Record<string, number>> => (isStateful(part) ? part.numbers : {});

/** Gives a part its saved numbers. @throws when it has none and some were saved */
export function restoreNumbers(name: string, part: Part, numbers: Readonly<Record<string, number>>): void {
  if (isStateful(part)) part.restoreNumbers(numbers);
  else if (Object.keys(numbers).length > 0) {
    const got = Object.keys(numbers).join(', ');
    throw new Error(
      `checkpoint: "${name}" is variables alone; got the numbers ${got} for it; give what was saved under it`,
    );
  }
}
