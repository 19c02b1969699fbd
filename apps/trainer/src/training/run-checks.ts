import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkResume,
  type JsonObject,
  listCheckpoints,
  type ResumeOptions,
  type SavedCheckpoint,
} from '@rass/training/node';
import { exists, isSame, unwritable } from '../files.ts';
import { weightsFingerprint } from '../model/fingerprint.ts';
import type { SourceRecipe } from '../recipe/fields.ts';
import type { Recipe } from '../recipe/recipes.ts';

/** What a run would be: the recipe, its samples and its place. */
export interface AskedRun {
  readonly recipe: Recipe;
  readonly feed: { readonly identity?: JsonObject };
  readonly out: string;
}

/** Fields that say nothing about the weights: a run may go on with others. */
const MAY_DIFFER = [
  'about',
  'hardware',
  'expected',
  'logEvery',
  'checkpoints',
  'validation',
  'data.workers',
  'data.ahead',
  'data.allow',
];

/** Where sets lie: what is in them is told by the feed's identity. */
const PLACES = ['folder', 'file', 'degraded', 'clean', 'annotations', 'images', 'masks', 'keep'];

function placesOf(source: SourceRecipe, at: string): string[] {
  if (source.kind === 'mix') return source.parts.flatMap((part, i) => placesOf(part.source, `${at}.parts.${i}.source`));
  return PLACES.map((place) => `${at}.${place}`);
}

/** What of a recipe may change between two goes; of a schedule that does not depend on the end, the number of steps, too. */
function mayDiffer({ recipe: { optimizer, data }, feed }: AskedRun, saved: JsonObject): string[] {
  const always = [...MAY_DIFFER, ...(optimizer.schedule.kind === 'constant' ? ['steps'] : [])];
  // Earlier versions did not save what the samples are: the sets lie where they lay.
  if (saved.samples === undefined) return [...always, 'samples'];
  return feed.identity === undefined ? always : [...always, ...placesOf(data.source, 'data.source')];
}

/** What a recipe of an earlier version says today: norms and embeddings had the decay of all. */
function readSaved(saved: JsonObject): JsonObject {
  const optimizer = (saved.optimizer ?? {}) as JsonObject;
  const { weightDecay: normDecay, weightDecay: embeddingDecay } = optimizer;
  return { ...saved, optimizer: { normDecay, embeddingDecay, ...optimizer } };
}

/** What a run is compared with its checkpoints by. */
export const resumeOptions = (run: AskedRun, asked: JsonObject): ResumeOptions => ({
  recipe: asked,
  mayDiffer: (saved) => mayDiffer(run, saved),
  readSaved,
});

/** What checkpoints keep of what a run was asked for: the recipe, the weights that it begins with, and what its samples are. */
export async function askedOf({ recipe, feed }: AskedRun): Promise<JsonObject> {
  return {
    ...(recipe as unknown as JsonObject),
    ...('model' in recipe && { modelWeights: await weightsFingerprint(recipe.model) }),
    ...(feed.identity && { samples: feed.identity }),
  };
}

/** What models and data sets have in their folders, and runs have not. */
const NO_RUNS: ReadonlySet<string> = new Set([
  'model_index.json',
  'rass.json',
  'classes.json',
  'images',
  'annotations',
]);

/** What the run would write over. @throws when a model lies there that it has not made, or more was done than it asks for */
export async function checkPlace(
  { recipe, out }: AskedRun,
  done: { readonly step: number } | undefined,
): Promise<void> {
  const model = join(out, 'model');
  if ('model' in recipe && isSame(recipe.model, model)) {
    throw new Error(`${out}: a run leaves the model that it begins with as it is; got ${model}; give another --out`);
  }
  if (done === undefined && (await exists(model))) {
    throw new Error(
      `${out}: a run begins in a folder of its own; got a model there, without checkpoints; give another --out`,
    );
  }
  const others = done === undefined ? await readdir(out).catch(() => []) : [];
  const other = others.find((name) => NO_RUNS.has(name));
  if (other !== undefined) {
    throw new Error(
      `${out}: a run begins in a folder of its own; got one of a model or a data set, with ${other}; give another --out`,
    );
  }
  if (done !== undefined && done.step > recipe.steps) {
    throw new Error(
      `${out}: a run has at most its steps behind it; got ${done.step} of ${recipe.steps}; ask for more, or give another --out`,
    );
  }
}

/** That metrics by which checkpoints are kept are given by the validation. @throws when one is not */
export function checkMetrics({ checkpoints: { keepBest } }: Recipe, metrics: Readonly<Record<string, number>>): void {
  const unknown = keepBest.find(({ metric }) => !(metric in metrics));
  if (unknown === undefined) return;
  const known = Object.keys(metrics).join(', ') || 'none, since there is no validation';
  throw new Error(
    `recipe: checkpoints.keepBest: a metric of the validation, ${known}; got "${unknown.metric}"; name one of them`,
  );
}

/** That a run could begin or go on at its place, of which nothing is touched. @throws what the run would */
export async function checkRun(run: AskedRun): Promise<void> {
  const reason = await unwritable(run.out);
  if (reason !== undefined)
    throw new Error(`${run.out}: a run writes into its folder; got ${reason}; give another --out`);
  const { saved } = await listCheckpoints(join(run.out, 'checkpoints'));
  const newest: SavedCheckpoint | undefined = saved[0];
  if (newest !== undefined) checkResume(newest, resumeOptions(run, await askedOf(run)));
  await checkPlace(run, newest);
}
