import type { Checkpoint } from '@rass/weights';
import { keyParts } from './parts.ts';
import { spelledModule } from './paths.ts';
import { rassComponents } from './rass.ts';

/** Which parts of a pipeline a file's keys are of, and how many of them: `unet`, `text_encoder`. Empty for a file of one model alone, whose
 * keys name no part. */
export function adapterComponents(checkpoint: Checkpoint): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [component, count] of rassComponents(checkpoint) ?? namedComponents(checkpoint.keys())) {
    counts.set(component, (counts.get(component) ?? 0) + count);
  }
  return counts;
}

const namedComponents = (keys: readonly string[]): [component: string, count: number][] =>
  keys.flatMap((key): [string, number][] => {
    const parts = keyParts(key);
    const component = parts && spelledModule(parts.module).component;
    return component === undefined ? [] : [[component, 1]];
  });
