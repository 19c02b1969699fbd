import type { Vae } from '@rass/vae';
import type { TagModel } from '../model/text-model.ts';

/** What all tasks of a model share. */
export interface SharedModels {
  readonly vae: Vae;
  readonly text: TagModel;
}

/** The shorter side that models are run at which do not say what they were trained with. */
export const SHORT_SIDE = 512;
/** Sides of images are brought to multiples of this by repeating their edges. */
export const MULTIPLE = 64;
/** The longer side is at most so many shorter sides. @source github.com/Ka1Guan/RASS: MIN_SIZE_TEST 512, MAX_SIZE_TEST 2048 */
export const MOST_SHORT_SIDES = 4;
