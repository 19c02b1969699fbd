import type { Dataset } from '@rass/datasets';
import type { DegradationSettings } from '@rass/degradation';
import type { LabelMap, RgbImage } from '@rass/images';
import { openPipeline, readStages } from '@rass/pipeline/node';
import { degradedOf, matrixFor } from '../evaluation/evaluate.ts';
import { mean, psnrOf } from '../evaluation/scores.ts';

/** On what two models are compared. */
export interface ComparisonOptions {
  readonly dataset: Dataset;
  /** At most so many images, from the first on. */
  readonly samples: number;
  /** Makes bad photographs of samples that have none, image i with the seed i; undefined: they are taken as they are. */
  readonly settings: DegradationSettings | undefined;
  readonly onSample?: (done: number, total: number) => void;
}

/** How two models differ in what they make of the same bad photographs. */
export interface Comparison {
  readonly images: number;
  readonly restoration?: {
    /** Between what one and the other restored, in decibels. */
    readonly between: number;
    /** Of each against the good photographs, where there are such. */
    readonly psnr?: readonly [before: number, after: number];
  };
  readonly segmentation?: {
    /** Of pixels that have the same label. */
    readonly agreement: number;
    /** Of each, where the set has labels. */
    readonly miou?: readonly [before: number, after: number];
  };
}

interface Outputs {
  readonly restored: RgbImage[];
  readonly labels: LabelMap[];
  readonly psnr: number | undefined;
  readonly miou: number | undefined;
}

interface Tasks {
  readonly restore: boolean;
  readonly segment: boolean;
}

/** What both models do. */
async function tasksOf(...models: string[]): Promise<Tasks> {
  const all = await Promise.all(models.map((model) => readStages(model)));
  return {
    restore: all.every(({ restoration }) => restoration !== undefined),
    segment: all.every(({ segmentation }) => segmentation !== undefined),
  };
}

/** What a model makes of the set. One model is in memory at a time, whatever its size. */
async function outputsOf(
  model: string,
  count: number,
  { restore, segment }: Tasks,
  { dataset, settings }: ComparisonOptions,
  onImage: () => void,
): Promise<Outputs> {
  const pipeline = await openPipeline(model, { restore, segment });
  try {
    const hasTruth = segment && dataset.classes.length > 0;
    const matrix = hasTruth ? matrixFor(pipeline, dataset) : undefined;
    let labelled = 0;
    const [restored, labels, scores]: [RgbImage[], LabelMap[], number[]] = [[], [], []];
    for (let i = 0; i < count; i++) {
      onImage();
      const sample = await dataset.get(i);
      const bad = degradedOf(sample, settings, i);
      if (restore) {
        restored.push(await pipeline.restore(bad));
        if (bad !== sample.image) scores.push(psnrOf(restored[i]!, sample.image));
      }
      if (segment) {
        labels.push(await pipeline.segment(bad));
        if (sample.labels === undefined) continue;
        matrix?.add(labels[i]!, sample.labels);
        labelled += 1;
      }
    }
    const psnr = scores.length > 0 ? mean(scores) : undefined;
    return { restored, labels, psnr, miou: labelled > 0 ? matrix?.scores().miou : undefined };
  } finally {
    pipeline.dispose();
  }
}

const agreementOf = (a: LabelMap, b: LabelMap): number =>
  a.data.reduce((same, label, i) => same + Number(label === b.data[i]), 0) / a.data.length;

/** What a model loses by being written in another precision, in what it makes of a data set. Nothing is named in the prompts.
 * @throws when the set has labels of other classes */
export async function compareModels(before: string, after: string, options: ComparisonOptions): Promise<Comparison> {
  const count = Math.min(options.samples, options.dataset.length ?? options.samples);
  let done = 0;
  const onImage = (): void => options.onSample?.(done++, 2 * count);
  const tasks = await tasksOf(before, after);
  const a = await outputsOf(before, count, tasks, options, onImage);
  const b = await outputsOf(after, count, tasks, options, onImage);
  const pairs = Array.from({ length: count }, (_, i) => i);
  return {
    images: count,
    ...(a.restored.length > 0 && {
      restoration: {
        between: mean(pairs.map((i) => psnrOf(b.restored[i]!, a.restored[i]!))),
        ...(a.psnr !== undefined && b.psnr !== undefined && { psnr: [a.psnr, b.psnr] }),
      },
    }),
    ...(a.labels.length > 0 && {
      segmentation: {
        agreement: mean(pairs.map((i) => agreementOf(a.labels[i]!, b.labels[i]!))),
        ...(a.miou !== undefined && b.miou !== undefined && { miou: [a.miou, b.miou] }),
      },
    }),
  };
}
