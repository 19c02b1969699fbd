import { join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { describeGroups } from '@rass/training';
import { Command } from 'commander';
import { loadRecipe } from '../recipe/load.ts';
import { recipeNames } from '../recipe/packaged.ts';
import type { Recipe, RecipeKind } from '../recipe/recipes.ts';
import { checkSamples } from '../samples/check-samples.ts';
import type { OpenFeed } from '../samples/feed.ts';
import { openRecipeFeed } from '../samples/recipe-feed.ts';
import { withData } from '../samples/source-of.ts';
import { startTask } from '../tasks/start.ts';
import { dryRun } from '../training/dry-run.ts';
import { type RunOptions, type RunResult, train } from '../training/loop.ts';
import { checkProcesses, openHelpers, threadSettings } from '../training/processes/helpers.ts';
import { wholeOf } from './option-values.ts';

interface TrainFlags {
  set?: string[];
  data?: string;
  out?: string;
  backend?: string;
  processes: number;
  dryRun?: boolean;
  quiet?: boolean;
}

/** What a shell expects of a program that a signal has ended. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];

/** A signal that the first SIGINT or SIGTERM sends; a second one ends the process as usual. */
function stopSignal(print: (line: string) => void): { signal: AbortSignal; code: () => number; forget: () => void } {
  const controller = new AbortController();
  let code = 0;
  const stop = (name: NodeJS.Signals) => {
    code = EXIT_CODES[name as keyof typeof EXIT_CODES];
    print(`${name}: the run ends after this step, with a checkpoint; once more ends it at once`);
    controller.abort();
    forget();
  };
  const forget = () => {
    for (const name of Object.keys(EXIT_CODES)) process.off(name, stop);
  };
  for (const name of Object.keys(EXIT_CODES)) process.on(name, stop);
  return { signal: controller.signal, code: () => code, forget };
}

/** Trains, with helper processes where more than one is asked for. */
async function trainWith(
  processes: number,
  options: RunOptions & { readonly feed: OpenFeed },
  backend: string,
): Promise<RunResult> {
  if (processes === 1) return train(options);
  const { task, recipe, feed } = options;
  const helpers = await openHelpers({ task, recipe, classes: feed.classes, backend, processes });
  try {
    return await train({ ...options, helpers });
  } finally {
    helpers.close();
  }
}

/** A recipe with its set at another place. */
async function withDataAt(recipe: Recipe, data: string | undefined): Promise<Recipe> {
  if (data === undefined) return recipe;
  return { ...recipe, data: { ...recipe.data, source: await withData(recipe.data.source, data) } };
}

async function run(kind: RecipeKind, path: string, flags: TrainFlags): Promise<void> {
  const recipe = await withDataAt(await loadRecipe(path, kind, flags.set), flags.data);
  const print = flags.quiet ? () => {} : (line: string) => console.log(line);
  checkProcesses(flags.processes, recipe);
  // Before TensorFlow is loaded, which reads them once.
  if (flags.processes > 1) Object.assign(process.env, { ...threadSettings(flags.processes), ...process.env });
  const { name: backend, description } = await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  print(JSON.stringify(recipe, null, 2));
  print(`on ${description}`);
  const out = flags.out ?? join('runs', recipe.name);
  if (flags.dryRun) return dryRun(recipe, out, print);
  const stop = stopSignal(print);
  const feed = await openRecipeFeed(recipe);
  try {
    await checkSamples(recipe, feed);
    const task = await startTask(recipe, feed.classes);
    try {
      print(describeGroups(task.groups, recipe.optimizer.rate));
      const result = await trainWith(flags.processes, { task, feed, recipe, out, signal: stop.signal, print }, backend);
      if (result.finished) print(`trained: ${result.model}`);
      else {
        print(`stopped after step ${result.step}; the same command goes on from there`);
        process.exitCode = stop.code();
      }
    } finally {
      task.dispose();
    }
  } finally {
    stop.forget();
    await feed.close();
  }
}

/** A command that trains by recipes of one kind. */
export function trainingCommand(name: string, kind: RecipeKind, description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<recipe>', `a .ts, .js, .json or .yaml file, or one of this program: ${recipeNames().join(', ')}`)
    .option('--set <field=value>', 'another value for a field, such as optimizer.rate=1e-4; may be repeated', collect)
    .option(
      '--data <path>',
      "where the recipe's data set lies: a folder in ADE20K's layout or of images, a list, COCO's JSON",
    )
    .option('--out <folder>', "where the run lies; one that is there goes on (default: runs/ and the recipe's name)")
    .option('--backend <name>', 'what computes (default: the best that there is)')
    .option(
      '--processes <count>',
      "processes that share an update's batches; each has its share of the cores",
      wholeOf,
      1,
    )
    .option(
      '--dry-run',
      'one batch forward and backward: the loss, the time and the memory, and whether the run could begin; nothing is written',
    )
    .option('--quiet', 'print nothing')
    .action((path: string, flags: TrainFlags) => run(kind, path, flags));
}

/** `rass train ...`: the two stages. */
export const trainCommand = (): Command =>
  new Command('train')
    .description('train a stage of RASS by a recipe; a run that was stopped or killed goes on where it was')
    .addCommand(trainingCommand('scr', 'scr', 'stage 1: restoration, with attention drawn to the labels'))
    .addCommand(trainingCommand('seg', 'seg', 'stage 2: segmentation from the restoring model'));

/** `rass pretrain ...`: small models from nothing. */
export const pretrainCommand = (): Command =>
  new Command('pretrain')
    .description('train a small Stable Diffusion from nothing by a recipe, where no published one is at hand')
    .addCommand(trainingCommand('vae', 'vae', 'the autoencoder'))
    .addCommand(trainingCommand('unet', 'unet', "the text-conditioned diffusion model on the autoencoder's latents"));
