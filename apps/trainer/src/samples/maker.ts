import {
  augmentSample,
  centreSample,
  type DatasetClass,
  type DatasetSample,
  relabelDataset,
  shortSides,
} from '@rass/datasets';
import { degrade } from '@rass/degradation';
import { namedRandom } from '@rass/nn';
import type { AugmentRecipe, SourceRecipe } from '../recipe/fields.ts';
import { readDegradation } from './degradation.ts';
import { openSource } from './open-source.ts';
import type { Sample } from './sample.ts';

/** What a maker of samples is opened with; plain data, so that a thread can take it. */
export interface MakerSettings {
  readonly source: SourceRecipe;
  readonly augment: AugmentRecipe;
  /** A preset's name, a YAML file, or `none`. */
  readonly degradation: string;
  /** Of the labels, where they are to be others than the source's; none: its labels are left out. */
  readonly classes?: readonly DatasetClass[];
}

/** One sample that is asked for. */
export interface SampleJob {
  readonly index: number;
  readonly seed: number;
  /** With chance in how it is cut; otherwise its middle is taken. */
  readonly training: boolean;
}

/** Draws samples, cuts and degrades them. */
export interface SampleMaker {
  readonly length: number | undefined;
  readonly classes: readonly DatasetClass[];
  make(job: SampleJob): Promise<Sample>;
}

/** Cuts a sample: with chance while training, otherwise in its middle. */
function cutSample(
  raw: DatasetSample,
  { shortSides: sides, ...augment }: AugmentRecipe,
  job: SampleJob,
): DatasetSample {
  if (!job.training) return centreSample(raw, augment.crop);
  const among = sides === 'paper' ? shortSides(augment.crop) : sides;
  return augmentSample(raw, { ...augment, ...(among && { shortSides: among }) }, namedRandom(job.seed, 'augment'));
}

/** What has failed at a sample, with its name. */
function named(id: string, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  return message.includes(id) ? (error as Error) : new Error(`${id}: ${message}`, { cause: error });
}

/** Opens the source and reads the degradation's options. @throws when one is not there or not as it must be */
export async function openMaker({
  source: recipe,
  augment,
  degradation,
  classes,
}: MakerSettings): Promise<SampleMaker> {
  const [own, settings] = await Promise.all([openSource(recipe), readDegradation(degradation)]);
  const isUnlabelled = classes?.length === 0;
  const source = classes === undefined || isUnlabelled ? own : relabelDataset(own, classes);
  return {
    length: source.length,
    classes: isUnlabelled ? [] : source.classes,
    async make(job) {
      const raw = await source.get(job.index);
      try {
        const { id, image: clean, labels, degraded: given } = cutSample(raw, augment, job);
        const degraded = given ?? (settings === undefined ? clean : degrade(clean, settings, { seed: job.seed }).image);
        return { id, clean, degraded, ...(labels && !isUnlabelled && { labels }) };
      } catch (error) {
        throw named(raw.id, error);
      }
    },
  };
}
