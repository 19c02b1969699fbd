import { WeightsError } from '../error.ts';

/** Up to here a number may be of a file that has only some of a model's tensors: looping over so many is quick. */
const FEW = 100;

/** The largest number that keys have at a place, -1 where none has one. Each number below it has keys, too, or loops over them would be endless.
 * @throws WeightsError `BadNames` */
export function largestIndex(keys: readonly string[], place: RegExp): number {
  let largest = -1;
  for (const key of keys) {
    const index = Number(place.exec(key)?.[1] ?? -1);
    if (index >= Math.max(keys.length, FEW)) {
      throw new WeightsError(
        'BadNames',
        `splitStableDiffusion: blocks are numbered from 0 up; got "${key.slice(0, 200)}" among ${keys.length} keys; the file is no Stable Diffusion`,
      );
    }
    largest = Math.max(largest, index);
  }
  return largest;
}
