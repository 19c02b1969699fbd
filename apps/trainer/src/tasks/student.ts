import { trainableTensors } from '@rass/nn';
import {
  addScrLora,
  type LatentStepOptions,
  type Restorer,
  restoreLatents,
  type ScrBatch,
  studentStep,
} from '@rass/rass';
import { adamW, gradientNorm } from '@rass/training';
import type { Parts } from '@rass/training/node';
import type { NoiseSchedule, Unet } from '@rass/unet';
import { dispose, tidy } from '@tensorflow/tfjs-core';
import { trainableStage } from '../model/stages.ts';
import type { ScrRecipe } from '../recipe/recipes.ts';
import { scheduleOf } from '../training/schedule.ts';
import type { BatchPlace } from '../training/task.ts';
import { noiseAt, timestepsAt } from './draws.ts';
import { groupsOf } from './groups.ts';

/** VSD's second model, which learns how restored latents look. */
export interface Student {
  readonly unet: Unet;
  readonly state: Parts;
  /** One update on what is restored of a batch. @returns its loss */
  learn(
    restorer: Restorer,
    batch: ScrBatch,
    options: Pick<LatentStepOptions, 'latentUpdate' | 'timestep' | 'checkpointing'>,
    place: BatchPlace,
  ): Promise<number>;
  dispose(): void;
}

/** A LoRA of its own over the frozen model, trained beside the first at the same rate. @source OSEDiff, arXiv 2406.08177 */
export async function startStudent(frozen: Unet, recipe: ScrRecipe, schedule: NoiseSchedule): Promise<Student> {
  const { lora, seed, optimizer: settings, steps } = recipe;
  const unet = trainableStage(await addScrLora(frozen, { ...lora, seed: seed + 1 }), { shared: true });
  const variables = trainableTensors(unet);
  const optimizer = adamW(groupsOf(unet, settings), { betas: settings.betas });
  const rate = scheduleOf(settings, steps);
  return {
    unet,
    state: { student: variables, studentOptimizer: optimizer },
    async learn(restorer, { latents, text }, options, place) {
      const restored = tidy(() => restoreLatents(restorer, latents, text, options).latents);
      const noise = noiseAt(seed, 'student', place, restored.shape);
      const timestep = timestepsAt(seed + 1, place, restored.shape[0], [0, schedule.config.trainingSteps]);
      const { checkpointing } = options;
      const { terms, gradients } = await studentStep(
        { student: unet, schedule },
        { latents: restored, noise, timestep, text },
        { ...(checkpointing !== undefined && { checkpointing }) },
      );
      const { scale } = await gradientNorm(gradients, { clip: settings.clip });
      optimizer.step(gradients, { learningRate: rate(place.step), gradientScale: scale });
      dispose([restored, noise]);
      dispose(gradients as Record<string, never>);
      return terms.loss;
    },
    dispose() {
      optimizer.dispose();
      dispose(Object.values(variables));
    },
  };
}
