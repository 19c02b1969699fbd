import { type Dataset, type DatasetSample, resizeSample, shortestEdge } from '@rass/datasets';
import { type DegradationSettings, degrade } from '@rass/degradation';
import type { RgbImage } from '@rass/images';
import { ConfusionMatrix, type SegmentationScores } from '@rass/metrics';
import type { Lpips } from '@rass/metrics/lpips';
import { openTagger, type Pipeline, type TagChoice } from '@rass/pipeline';
import { type ImageScores, Scores } from './scores.ts';

/** What is segmented: the bad photograph, what was restored of it, or the good one. */
export type Input = 'degraded' | 'restored' | 'clean';

/** The paper's protocols. `dt`: a segmenter of good photographs on bad ones. `r2s`: the same on restored ones. `ft`: a segmenter trained on bad ones.
 * `rass`: the same on the restoring model. `clean`: on the good photographs, what is to be had at most. */
export const PROTOCOLS = {
  dt: { input: 'degraded', merged: false },
  r2s: { input: 'restored', merged: false },
  ft: { input: 'degraded', merged: false },
  rass: { input: 'degraded', merged: true },
  clean: { input: 'clean', merged: undefined },
} as const satisfies Record<string, { readonly input: Input; readonly merged: boolean | undefined }>;
export type Protocol = keyof typeof PROTOCOLS;

export interface EvaluationOptions {
  readonly dataset: Dataset;
  /** Segments; without it restoration alone is scored. */
  readonly segmenter?: Pipeline;
  /** Restores, for `restored` and for restoration's scores. */
  readonly restorer?: Pipeline;
  readonly input: Input;
  /** Makes bad photographs of samples that have none, image i with the seed i; undefined: they are taken as they are. */
  readonly settings: DegradationSettings | undefined;
  /** What is named in the prompts: of the segmenter's input, and of what is restored; default none. */
  readonly tags?: TagChoice;
  readonly samples?: number;
  readonly network?: Lpips | undefined;
  readonly shortSide?: number;
  readonly onSample?: (index: number, total: number) => void;
}

export interface Evaluation {
  readonly images: number;
  /** Samples of which there is one photograph, neither given nor made bad: scored as it is. */
  readonly asTheyAre: number;
  readonly segmentation?: SegmentationScores;
  /** Against the good photographs: of the restored ones, and of the bad ones as they are. */
  readonly restoration?: { readonly restored: ImageScores; readonly degraded: ImageScores };
}

/** The bad photograph of a sample: its own, or one that is made with a seed; without either its only one, which may be bad already. */
export function degradedOf(
  { image, degraded }: DatasetSample,
  settings: DegradationSettings | undefined,
  seed: number,
): RgbImage {
  if (degraded !== undefined) return degraded;
  if (settings === undefined) return image;
  return degrade(image, settings, { seed }).image;
}

/** Scores of what is restored, where there are good photographs to hold it against. */
class RestorationScores {
  readonly #restored: Scores;
  readonly #degraded: Scores;
  count = 0;

  constructor(network: Lpips | undefined) {
    this.#restored = new Scores(network);
    this.#degraded = new Scores(network);
  }

  async add(restored: RgbImage, degraded: RgbImage, clean: RgbImage): Promise<void> {
    this.count += 1;
    await this.#restored.add(restored, clean);
    await this.#degraded.add(degraded, clean);
  }

  means(): NonNullable<Evaluation['restoration']> {
    return { restored: this.#restored.means(), degraded: this.#degraded.means() };
  }
}

function check({ input, restorer, segmenter }: EvaluationOptions): void {
  if (input === 'restored' && restorer === undefined) {
    throw new Error('eval: restored photographs need a model that restores; got none; give --restorer');
  }
  if (segmenter === undefined && restorer === undefined) {
    throw new Error('eval: something is scored, restoration or segmentation; got neither; give --model or --restorer');
  }
}

function refuseUnpaired({ id }: DatasetSample): never {
  throw new Error(
    `eval: restoration is scored against good photographs; got none beside ${id}; give a set with clean/ beside images/, or --degradation, which makes bad ones of good ones`,
  );
}

/** Scores a model on a data set. @throws when what is asked for lacks a model, labels, or other classes stand in the data set */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  check(options);
  const { dataset, segmenter, restorer, input, settings, network, shortSide, onSample } = options;
  const available = dataset.length ?? options.samples;
  if (available === undefined)
    throw new Error('eval: a data set without an end is scored in part; got no number; give --samples');
  const count = Math.min(available, options.samples ?? available);
  const matrix = segmenter && matrixFor(segmenter, dataset);
  const tagger = openTagger(options.tags ?? 'none', { segmenter, classes: dataset.classes });
  const scores = new RestorationScores(network);
  let asTheyAre = 0;
  for (let i = 0; i < count; i++) {
    onSample?.(i, count);
    const given = await dataset.get(i);
    const sample =
      shortSide === undefined
        ? given
        : resizeSample(given, shortestEdge(given.image, { side: shortSide, longest: Number.POSITIVE_INFINITY }));
    const bad = degradedOf(sample, settings, i);
    if (bad === sample.image) {
      if (matrix === undefined) refuseUnpaired(sample);
      asTheyAre += 1;
    }
    const labels = sample.labels && { labels: sample.labels };
    // An image that is restored and segmented is tagged once.
    const known = new Map<RgbImage, readonly string[]>();
    const tagsOf = async (image: RgbImage): Promise<readonly string[]> => {
      const tags = known.get(image) ?? (await tagger({ image, ...labels }));
      known.set(image, tags);
      return tags;
    };
    const restored = restorer && (await restorer.restore(bad, { tags: await tagsOf(bad) }));
    if (restored !== undefined && bad !== sample.image) await scores.add(restored, bad, sample.image);
    if (matrix === undefined) continue;
    if (sample.labels === undefined)
      throw new Error(`eval: each sample has labels; got none with ${sample.id}; give another data set`);
    const image = { clean: sample.image, degraded: bad, restored }[input]!;
    matrix.add(await segmenter!.segment(image, { tags: await tagsOf(image) }), sample.labels);
  }
  return {
    images: count,
    asTheyAre,
    ...(matrix && { segmentation: matrix.scores() }),
    ...(scores.count > 0 && { restoration: scores.means() }),
  };
}

/** What counts a model's labels. @throws when the model's classes are not the data set's */
export function matrixFor({ classes }: Pipeline, dataset: Dataset): ConfusionMatrix {
  if (dataset.classes.length === 0) {
    throw new Error(
      'eval: to score a segmenter the data set has labels; got none; leave --model out, or give another set',
    );
  }
  const other = classes.findIndex(({ name }, label) => dataset.classes[label]?.name !== name);
  if (other < 0 && classes.length === dataset.classes.length) return new ConfusionMatrix({ classes: classes.length });
  const [own, theirs] = [classes, dataset.classes].map(
    (each) => `${each.length} classes, of which ${other}: ${each[other]?.name}`,
  );
  throw new Error(
    `eval: model and data set have the same classes; got ${own} and ${theirs}; score on what it was trained for`,
  );
}
