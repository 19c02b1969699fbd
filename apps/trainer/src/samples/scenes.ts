import { readdir, readFile } from 'node:fs/promises';
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
  readonly #recipe: ScenesRecipe;
  constructor(folder: string, recipe: ScenesRecipe) {
    this.#folder = folder;
    this.#recipe = recipe;
  }

  #pathsOf(seed: number): { image: string; labels: string } {
    const name = `${String(seed).padStart(6, '0')}.png`;
    return { image: join(this.#folder, 'images', name), labels: join(this.#folder, 'annotations', name) };
  }

  /** What the scenes are drawn by. */
  get #rules(): string {
    return join(this.#folder, 'scenes.json');
  }

  get #ruleText(): string {
    const { size, setting = null } = this.#recipe;
    return jsonText({ size, setting });
  }

  /** A scene that is there: the first, if it is. */
  async #anySeed(): Promise<number | undefined> {
    const { first } = this.#recipe;
    if (await exists(this.#pathsOf(first).image)) return first;
    const names = await readdir(join(this.#folder, 'images')).catch(() => []);
    const kept = names.find((name) => /^\d{6,}\.png$/.test(name));
    return kept === undefined ? undefined : Number.parseInt(kept, 10);
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
    if (!(await exists(this.#rules))) await writeBeside(this.#rules, this.#ruleText);
    await writeBeside(paths.labels, encodeLabelsPng(labels!));
    await writeBeside(paths.image, encodePng(image));
  }

  /** @throws when the folder has other scenes than would be drawn: of another size or setting, or of another version of @rass/scenes */
  async check(): Promise<void> {
    const seed = await this.#anySeed();
    const kept = seed === undefined ? undefined : await this.read(seed);
    if (seed === undefined || kept === undefined) return;
    const { image, labels } = draw(this.#recipe, seed);
    const isSame = [
      [kept.image, image],
      [kept.labels!, labels!],
    ].every(([a, b]) => a!.width === b!.width && Buffer.compare(a!.data, b!.data) === 0);
    // One scene may be the same where the setting is not.
    const isOfRules = !(await exists(this.#rules)) || (await readFile(this.#rules, 'utf8')) === this.#ruleText;
    if (isSame && isOfRules) return;
    const got = isSame
      ? `scenes of another setting, as ${this.#rules} says`
      : `another ${idOf(seed)}, of ${kept.image.width} x ${kept.image.height}`;
    throw new Error(
      `${this.#folder}: scenes are kept as they would be drawn; got ${got}; name another folder, or remove this one`,
    );
  }
}

/** Procedural scenes as a source: sample i is the scene of seed `first` + i, from the folder where scenes are kept, if there is one.
 * @throws when other scenes are kept there */
export async function scenesSource(recipe: ScenesRecipe): Promise<Dataset> {
  const { first, length, keep } = recipe;
  const kept = keep === undefined ? undefined : new KeptScenes(keep, recipe);
  await kept?.check();
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
