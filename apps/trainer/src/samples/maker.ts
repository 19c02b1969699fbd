import { readFile } from 'node:fs/promises';
import { augmentSample, centreSample, type DatasetClass, type DatasetSample, shortSides } from '@rass/datasets';
import { DEGRADATION_PRESETS, type DegradationSettings, degrade, parseDegradationConfig } from '@rass/degradation';
import { closest, namedRandom } from '@rass/nn';
import type { AugmentRecipe, SourceRecipe } from '../recipe/fields.ts';
import { openSource } from './open-source.ts';
import type { Sample } from './sample.ts';

/** What a maker of samples is opened with; plain data, so that a thread can take it. */
export interface MakerSettings {
  readonly source: SourceRecipe;
  readonly augment: AugmentRecipe;
  /** A preset's name, a YAML file, or `none`. */
  readonly degradation: string;
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

/** The options of a preset or a file; nothing for `none`. */
async function readDegradation(name: string): Promise<DegradationSettings | undefined> {
  if (name === 'none') return undefined;
  const preset = DEGRADATION_PRESETS[name];
  if (preset !== undefined) return preset;
  if (/\.ya?ml$/i.test(name)) return parseDegradationConfig(await readFile(name, 'utf8'));
  const known = [...Object.keys(DEGRADATION_PRESETS), 'none'];
  throw new Error(
    `degradation: it is a preset or a .yml file; got "${name}"; closest: ${closest(name, known, 2).join(', ')}`,
  );
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

/** Opens the source and reads the degradation's options. @throws when one is not there or not as it must be */
export async function openMaker({ source: recipe, augment, degradation }: MakerSettings): Promise<SampleMaker> {
  const [source, settings] = await Promise.all([openSource(recipe), readDegradation(degradation)]);
  return {
    length: source.length,
    classes: source.classes,
    async make(job) {
      const { id, image: clean, labels, degraded: given } = cutSample(await source.get(job.index), augment, job);
      const degraded = given ?? (settings === undefined ? clean : degrade(clean, settings, { seed: job.seed }).image);
      return { id, clean, degraded, ...(labels && { labels }) };
    },
  };
}
