import { WeightsError } from '../error.ts';

/** The largest number that keys have at a place, -1 where none has one. Each number below it has keys, too, or loops over them would be endless.
 * @throws WeightsError `BadNames` */
export function largestIndex(keys: readonly string[], place: RegExp): number {
  let largest = -1;
  for (const key of keys) {
    const index = Number(place.exec(key)?.[1] ?? -1);
    if (index >= keys.length) {
      throw new WeightsError(
        'BadNames',
        `splitStableDiffusion: blocks are numbered from 0 up; got "${key.slice(0, 200)}" among ${keys.length} keys; the file is no Stable Diffusion`,
      );
    }
    largest = Math.max(largest, index);
  }
  return largest;
}
