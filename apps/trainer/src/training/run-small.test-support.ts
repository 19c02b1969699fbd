import { join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { memory } from '@tensorflow/tfjs-core';
import { type RecipeOptions, resolveRecipe } from '../recipe/recipes.ts';
import { openRecipeFeed } from '../samples/recipe-feed.ts';
import { startTask } from '../tasks/start.ts';
import { train } from './loop.ts';
import { smallScr, smallSeg, smallUnet, smallVae } from './small-recipes.test-support.ts';

/** Trains in this process, below a folder. @returns how many tensors there were after each step */
export async function runSmall(folder: string, options: RecipeOptions): Promise<number[]> {
  const recipe = resolveRecipe(options, options.name);
  const feed = await openRecipeFeed(recipe);
  const task = await startTask(recipe, feed.classes);
  const counts: number[] = [];
  const print = (line: string) => {
    if (line.startsWith('step ') && !line.includes('validation')) counts.push(memory().numTensors);
  };
  try {
    const out = join(folder, recipe.name);
    await train({ task, feed, recipe, out, signal: new AbortController().signal, print });
  } finally {
    task.dispose();
    await feed.close();
  }
  return counts;
}

/** Trains all parts of a model for a step each, on the native backend. @returns the folder of the model with both stages */
export async function trainSmallModel(folder: string): Promise<string> {
  await selectBackend('native');
  const model = (name: string) => join(folder, name, 'model');
  await runSmall(folder, smallVae(1));
  await runSmall(folder, smallUnet(1, model('small-vae')));
  await runSmall(folder, smallScr(1, model('small-unet')));
  await runSmall(folder, smallSeg(1, model('small-scr')));
  return model('small-seg');
}
