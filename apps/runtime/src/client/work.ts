import type { RuntimeProgress } from '../protocol/messages.ts';
import type { Picture, Segmentation } from './results.ts';
import type { RestoreOptions, Runtime, SegmentOptions } from './runtime.ts';
import type { ImageSource } from './sources.ts';

/** Something long that tells how far it is and can be ended. */
export type Work<T> = (signal: AbortSignal, onProgress: (progress: RuntimeProgress) => void) => Promise<T>;

/** What a hook sets itself. */
type Given<T> = Omit<T, 'signal' | 'onProgress'>;

/** The options of useRestored. */
export type RestoredOptions = Given<RestoreOptions>;

/** The options of useSegmentation. */
export type SegmentationOptions = Given<SegmentOptions>;

/** Restores, where there is something to restore with and something to restore. */
export function restoringOf(
  runtime: Runtime | undefined,
  image: ImageSource | undefined,
  options: RestoredOptions,
): Work<Picture> | undefined {
  if (runtime === undefined || image === undefined) return undefined;
  return (signal, onProgress) => runtime.restore(image, { ...options, signal, onProgress });
}

/** Segments, as restoringOf. */
export function segmentingOf(
  runtime: Runtime | undefined,
  image: ImageSource | undefined,
  options: SegmentationOptions,
): Work<Segmentation> | undefined {
  if (runtime === undefined || image === undefined) return undefined;
  return (signal, onProgress) => runtime.segment(image, { ...options, signal, onProgress });
}

export const errorOf = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
