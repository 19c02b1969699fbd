import type { FileAdapter } from '@rass/lora';
import { type RestorationStage, type SegmentationStage, type Stages, stageLora } from '@rass/pipeline';
import { scrAdapters, segAdapters } from '@rass/rass';

/** What a model can do. */
export const TASKS = ['restore', 'segment'] as const;
export type Task = (typeof TASKS)[number];

/** What of a model's stages is exported. */
export interface StageChoice {
  /** What the exported model does; default all that the model does. */
  readonly tasks?: readonly Task[];
  /** Whether adapters are merged into the UNet where that serves every task; default true. */
  readonly merge?: boolean;
}

/** A stage's file whose adapters go into the UNet. */
export interface MergedStage {
  readonly file: string;
  readonly adapters: readonly FileAdapter[];
}

/** What becomes of a model's stages. */
export interface ExportedStages {
  readonly stages: Stages;
  /** In this order. */
  readonly merged: readonly MergedStage[];
  /** Why adapters stay beside the UNet, where that was not asked for. */
  readonly unmerged?: string;
}

type Restoration = RestorationStage | undefined;
type Segmentation = SegmentationStage | undefined;

function mergedStage(stage: RestorationStage | SegmentationStage, adaptersOf: typeof scrAdapters): MergedStage[] {
  const lora = stageLora(stage);
  return lora === undefined || stage.file === undefined ? [] : [{ file: stage.file, adapters: adaptersOf(lora) }];
}

function chosen(
  stages: Stages,
  tasks: readonly Task[] | undefined,
): { restoration: Restoration; segmentation: Segmentation } {
  for (const task of tasks ?? []) {
    if (stages[task === 'restore' ? 'restoration' : 'segmentation'] !== undefined) continue;
    throw new Error(`export: the model does what --tasks says; got ${task}, which it was not trained to; leave it out`);
  }
  const has = (task: Task): boolean => tasks?.includes(task) ?? true;
  return {
    restoration: has('restore') ? stages.restoration : undefined,
    segmentation: has('segment') ? stages.segmentation : undefined,
  };
}

const written = (restoration: Restoration, segmentation: Segmentation): Stages => ({
  format: 1,
  ...(restoration && { restoration }),
  ...(segmentation && { segmentation }),
});

const withoutFile = ({ latentUpdate, timestep }: RestorationStage): RestorationStage => ({ latentUpdate, timestep });

const withoutLora = ({ rank: _, alpha: __, ...stage }: SegmentationStage): SegmentationStage => stage;

/** What of a model's stages is exported, and which adapters are merged: restoration's, where segmentation goes on from it or is not there;
 * segmentation's, where it is alone. @throws when the model was not trained to do a task, or segments on adapters that are left out */
export function exportedStages(stages: Stages, { tasks, merge = true }: StageChoice): ExportedStages {
  const { restoration, segmentation } = chosen(stages, tasks);
  const onRestoring = segmentation?.mergesRestoration === true && stages.restoration !== undefined;
  const ofRestoring = stages.restoration === undefined ? [] : mergedStage(stages.restoration, scrAdapters);
  if (segmentation !== undefined && restoration === undefined) {
    if (merge) {
      return {
        stages: written(undefined, withoutLora(segmentation)),
        merged: [...(onRestoring ? ofRestoring : []), ...mergedStage(segmentation, segAdapters)],
      };
    }
    if (onRestoring && ofRestoring.length > 0) {
      throw new Error(
        'export: what segments on the restoring UNet has its adapters merged, or restores, too; got --no-merge with segment alone; leave one of the two out',
      );
    }
  }
  if (!merge || restoration === undefined) return { stages: written(restoration, segmentation), merged: [] };
  if (segmentation !== undefined && !onRestoring) {
    const unmerged = 'both stages go on from the same UNet: their adapters stay beside it';
    return { stages: written(restoration, segmentation), merged: [], unmerged };
  }
  return { stages: written(withoutFile(restoration), segmentation), merged: ofRestoring };
}
