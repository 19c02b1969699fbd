import { type Dataset, type DatasetSample, relabelDataset, unionClasses } from '@rass/datasets';
import { openAde20k, openCocoPanoptic, openFolder, openList, openPairs } from '@rass/datasets/node';
import { namedRandom } from '@rass/nn';
import type { SourceRecipe } from '../recipe/fields.ts';
import { scenesSource } from './scenes.ts';

type MixRecipe = Extract<SourceRecipe, { kind: 'mix' }>;

/** Which of the parts sample i is from, and which of its samples: drawn by i alone. */
function mixOf(parts: readonly { readonly dataset: Dataset; readonly share: number }[]): Dataset['get'] {
  const total = parts.reduce((sum, { share }) => sum + share, 0);
  return (index: number): Promise<DatasetSample> => {
    const next = namedRandom(0, `mix ${index}`);
    let left = next() * total;
    const part = parts.find(({ share }) => {
      left -= share;
      return left < 0;
    });
    const { dataset } = part ?? parts[parts.length - 1]!;
    return dataset.get(dataset.length === undefined ? index : Math.floor(next() * dataset.length));
  };
}

async function openMix({ parts: recipes }: MixRecipe): Promise<Dataset> {
  const parts = await Promise.all(
    recipes.map(async ({ source, share }) => ({ share, dataset: await openSource(source) })),
  );
  const classes = unionClasses(parts.map(({ dataset }) => dataset.classes));
  const get = mixOf(parts.map(({ share, dataset }) => ({ share, dataset: relabelDataset(dataset, classes) })));
  return { length: undefined, classes, get };
}

/** Opens what a recipe says. A mix has no end, and all its parts' classes, each name once. @throws when a file or folder is not there or not as it must be */
export async function openSource(recipe: SourceRecipe): Promise<Dataset> {
  switch (recipe.kind) {
    case 'scenes':
      return scenesSource(recipe);
    case 'ade20k': {
      const { folder, split, reduceZeroLabel } = recipe;
      return openAde20k(folder, {
        ...(split !== undefined && { split }),
        ...(reduceZeroLabel !== undefined && { reduceZeroLabel }),
      });
    }
    case 'folder':
      return openFolder(recipe.folder);
    case 'pairs':
      return openPairs({ degraded: recipe.degraded, clean: recipe.clean });
    case 'list':
      return openList(recipe.file);
    case 'coco':
      return openCocoPanoptic(recipe);
    case 'mix':
      return openMix(recipe);
  }
}
