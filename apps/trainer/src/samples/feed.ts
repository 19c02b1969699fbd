import type { DatasetClass } from '@rass/datasets';
import { namedRandom } from '@rass/nn';
import { epochSampler, mapAhead } from '@rass/training';
import type { JsonObject } from '@rass/training/node';
import type { DataRecipe, SourceRecipe } from '../recipe/fields.ts';
import { chunksOf } from '../tasks/chunks.ts';
import type { SampleFeed } from '../training/loop.ts';
import { identityOf } from './identity.ts';
import { type MakerSettings, openMaker, type SampleJob } from './maker.ts';
import { neighbour, openWorkers } from './pool.ts';
import type { Sample } from './sample.ts';

/** What a feed is made of. */
export interface FeedSettings {
  readonly data: DataRecipe;
  readonly validation: {
    readonly every: number;
    readonly samples: number;
    readonly source?: SourceRecipe | undefined;
    /** What makes its photographs bad; default: the training's for what is drawn or trained on, nothing for a set of its own. */
    readonly degradation?: string | undefined;
  };
  /** `none` leaves images as they are. */
  readonly degradation: string;
  readonly batch: number;
  readonly accumulate: number;
  readonly seed: number;
  /** Whether labels are read at all; where not, a validation's may be any. Default true. */
  readonly readsLabels?: boolean;
}

export interface OpenFeed extends SampleFeed {
  readonly classes: readonly DatasetClass[];
  readonly identity: JsonObject;
}

/** Scenes of a validation are far from those of any training. */
const VALIDATION_SCENES = 2 ** 30;

/** Where a validation's samples come from, when the recipe does not say: procedural scenes have as many others as one likes. */
function validationSource({ data, validation }: FeedSettings): SourceRecipe {
  if (validation.source !== undefined) return validation.source;
  const first = data.source.kind === 'mix' ? data.source.parts[0]!.source : data.source;
  if (first.kind === 'scenes') return { ...first, first: VALIDATION_SCENES };
  // Nothing is scored, but what a model's folder says may be measured: the scale of an autoencoder's latents.
  if (validation.every === 0) return first;
  throw new Error(
    `recipe: validation has a source of its own, since "${first.kind}" is trained on; got none; give validation.source, or set validation.every to 0`,
  );
}

const isDrawn = (source: SourceRecipe): boolean =>
  source.kind === 'scenes' || (source.kind === 'mix' && source.parts.every((part) => isDrawn(part.source)));

/** Photographs of a set of its own may be bad already. */
const validationDegradation = ({ validation, degradation }: FeedSettings): string =>
  validation.degradation ?? (validation.source === undefined || isDrawn(validation.source) ? degradation : 'none');

const settingsOf = (source: SourceRecipe, { data, degradation }: FeedSettings): MakerSettings => ({
  source,
  augment: data.augment,
  degradation,
});

/** The samples of each step, by its number: the same whenever it is asked for. */
function jobsOf(step: number, length: number | undefined, { batch, accumulate, seed }: FeedSettings): SampleJob[] {
  const count = batch * accumulate;
  const sampler = length === undefined ? undefined : epochSampler({ size: length, seed, batch: count });
  const indices = sampler?.at(step).indices ?? Array.from({ length: count }, (_, i) => step * count + i);
  const next = namedRandom(seed, `samples ${step}`);
  return indices.map((index) => ({ index, seed: Math.floor(next() * 2 ** 31), training: true }));
}

function* from(step: number): Generator<number> {
  for (let each = step; ; each++) yield each;
}

/** Opens the samples of a recipe: threads draw, cut and degrade them ahead of the step that needs them.
 * @throws when a source is not there or is not what the recipe says */
export async function openFeed(settings: FeedSettings): Promise<OpenFeed> {
  const { data, batch, validation, readsLabels = true } = settings;
  const training = await openMaker(settingsOf(data.source, settings));
  const judging = await openMaker({
    ...settingsOf(validationSource(settings), settings),
    degradation: validationDegradation(settings),
    classes: readsLabels ? training.classes : [],
  });
  const pool =
    data.workers === 0
      ? undefined
      : openWorkers<SampleJob, Sample>(neighbour('worker', import.meta.url), {
          size: data.workers,
          workerData: settingsOf(data.source, settings),
          nameOf: ({ index }) => `sample ${index}`,
        });
  const make = (job: SampleJob): Promise<Sample> => (pool === undefined ? training.make(job) : pool.run(job));
  let fixed: Promise<readonly Sample[]> | undefined;
  const fixedSamples = async (): Promise<readonly Sample[]> => {
    const count = Math.min(validation.samples, judging.length ?? validation.samples);
    const samples: Sample[] = [];
    for (let index = 0; index < count; index++)
      samples.push(await judging.make({ index, seed: index, training: false }));
    return samples;
  };
  return {
    classes: training.classes,
    identity: await identityOf(settings),
    async *from(start, signal) {
      const draw = async (step: number) =>
        chunksOf(await Promise.all(jobsOf(step, training.length, settings).map(make)), batch);
      try {
        yield* mapAhead(from(start), draw, { ahead: data.ahead, signal });
      } catch (error) {
        // What has failed says itself which sample it is.
        throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
      }
    },
    validation() {
      fixed ??= fixedSamples();
      return fixed;
    },
    async close() {
      await pool?.close();
    },
  };
}
