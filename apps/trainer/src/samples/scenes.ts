import type { Dataset } from '@rass/datasets';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import type { SourceRecipe } from '../recipe/fields.ts';

type ScenesRecipe = Extract<SourceRecipe, { kind: 'scenes' }>;

/** Procedural scenes as a source: sample i is the scene of seed `first` + i. */
export function scenesSource({ size, first, length, setting }: ScenesRecipe): Dataset {
  return {
    length,
    classes: SCENE_CLASSES.map(({ name, colour }) => ({ name, colour })),
    async get(index) {
      const seed = first + index;
      const { image, labels } = drawScene({ seed, width: size, height: size, ...(setting && { kind: setting }) });
      return { id: `scene ${seed}`, image, labels };
    },
  };
}
