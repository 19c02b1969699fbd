import { join } from 'node:path';
import type { Dataset, DatasetSample } from '@rass/datasets';
import { CLASSES_FILE } from '@rass/datasets/node';
import { encodeLabelsPng, encodePng } from '@rass/images';
import { readImage, readLabels } from '@rass/images/node';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { exists, jsonText, writeBeside } from '../files.ts';
import type { SourceRecipe } from '../recipe/fields.ts';

type ScenesRecipe = Extract<SourceRecipe, { kind: 'scenes' }>;

const CLASSES = SCENE_CLASSES.map(({ name, colour }) => ({ name, colour }));
const idOf = (seed: number): string => `scene ${seed}`;

function draw({ size, setting }: ScenesRecipe, seed: number): DatasetSample {
  const { image, labels } = drawScene({ seed, width: size, height: size, ...(setting && { kind: setting }) });
  return { id: idOf(seed), image, labels };
}

/** A folder of scenes that were drawn, in ADE20K's layout. */
class KeptScenes {
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }

  #pathsOf(seed: number): { image: string; labels: string } {
    const name = `${String(seed).padStart(6, '0')}.png`;
    return { image: join(this.#folder, 'images', name), labels: join(this.#folder, 'annotations', name) };
  }

  async read(seed: number): Promise<DatasetSample | undefined> {
    const paths = this.#pathsOf(seed);
    // The image is written last.
    if (!(await exists(paths.image))) return undefined;
    return { id: idOf(seed), image: await readImage(paths.image), labels: await readLabels(paths.labels) };
  }

  async write(seed: number, { image, labels }: DatasetSample): Promise<void> {
    const paths = this.#pathsOf(seed);
    const classes = join(this.#folder, CLASSES_FILE);
    if (!(await exists(classes))) await writeBeside(classes, jsonText(CLASSES));
    await writeBeside(paths.labels, encodeLabelsPng(labels!));
    await writeBeside(paths.image, encodePng(image));
  }

  /** @throws when the folder has other scenes than would be drawn: of another size, or of another version of @rass/scenes */
  async check(recipe: ScenesRecipe): Promise<void> {
    const kept = await this.read(recipe.first);
    if (kept === undefined) return;
    const { image, labels } = draw(recipe, recipe.first);
    const isSame = [
      [kept.image, image],
      [kept.labels!, labels!],
    ].every(([a, b]) => a!.width === b!.width && Buffer.compare(a!.data, b!.data) === 0);
    if (isSame) return;
    throw new Error(
      `${this.#folder}: scenes are kept as they would be drawn; got another ${idOf(recipe.first)}, of ${kept.image.width} x ${kept.image.height}; ` +
        `name another folder, or remove this one`,
    );
  }
}

/** Procedural scenes as a source: sample i is the scene of seed `first` + i, from the folder where scenes are kept, if there is one.
 * @throws when other scenes are kept there */
export async function scenesSource(recipe: ScenesRecipe): Promise<Dataset> {
  const { first, length, keep } = recipe;
  const kept = keep === undefined ? undefined : new KeptScenes(keep);
  await kept?.check(recipe);
  return {
    length,
    classes: CLASSES,
    async get(index) {
      const seed = first + index;
      const found = await kept?.read(seed);
      if (found !== undefined) return found;
      const scene = draw(recipe, seed);
      await kept?.write(seed, scene);
      return scene;
    },
  };
}
