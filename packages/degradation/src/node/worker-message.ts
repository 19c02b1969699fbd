import type { Degraded } from '../degrade.ts';
import type { FloatImage, RgbImage } from '../image.ts';

/** What a thread is asked for, one at a time. */
export interface WorkerJob {
  readonly image: RgbImage | FloatImage;
  readonly seed: number;
}

/** What it answers. */
export type WorkerReply = { readonly result: Degraded<RgbImage | FloatImage> } | { readonly error: string };
