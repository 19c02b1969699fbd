import { basename } from 'node:path';
import type { DatasetClass, DatasetSample } from '@rass/datasets';
import { centreSample } from '@rass/datasets';
import { type DegradationSettings, degrade } from '@rass/degradation';
import { colourLabels, type LabelMap, overlayLabels, type RgbImage } from '@rass/images';
import { readImage } from '@rass/images/node';
import { ConfusionMatrix } from '@rass/metrics';
import type { Lpips } from '@rass/metrics/lpips';
import type { Pipeline } from '@rass/pipeline';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { legendOf } from '../dataset/legend.ts';
import { type ImageScores, Scores } from '../evaluation/scores.ts';
import type { ImageJob } from '../inference/jobs.ts';
import type { CaptionedPicture, SheetRow } from '../training/task.ts';

export interface DemoOptions {
  readonly pipeline: Pipeline;
  readonly photographs: readonly ImageJob[];
  /** How many scenes, from this seed on: none of them was trained on. */
  readonly scenes: number;
  readonly firstScene: number;
  /** The sides of everything, in pixels. */
  readonly size: number;
  readonly settings: DegradationSettings;
  readonly network: Lpips | undefined;
  readonly onSample: (done: number, total: number, id: string) => void;
}

export interface DemoResult {
  readonly rows: readonly SheetRow[];
  /** Of photographs and of scenes: how close to the good ones the bad and the restored ones are. */
  readonly scores: Readonly<
    Record<string, { readonly images: number; readonly degraded: ImageScores; readonly restored: ImageScores }>
  >;
  /** On scenes, which have labels; of the bad photographs. */
  readonly miou: number;
  readonly pixelAccuracy: number;
  /** Mean of an image. */
  readonly seconds: { readonly restore: number; readonly segment: number };
}

const FIRST_SEED = 1;

/** Photographs and scenes, cut to one size. */
async function samplesOf({
  photographs,
  scenes,
  firstScene,
  size,
}: DemoOptions): Promise<(DatasetSample & { kind: string })[]> {
  const found: (DatasetSample & { kind: string })[] = [];
  for (const { path } of photographs) {
    found.push({ ...centreSample({ id: basename(path), image: await readImage(path) }, size), kind: 'photographs' });
  }
  for (let i = 0; i < scenes; i++) {
    const seed = firstScene + i;
    found.push({ id: `scene ${seed}`, ...drawScene({ seed, width: size, height: size }), kind: 'scenes' });
  }
  return found;
}

interface Done {
  readonly degraded: RgbImage;
  readonly restored: RgbImage;
  readonly labels: LabelMap;
}

const caption = (name: string, { psnr, lpips }: ImageScores): string =>
  `${name}: PSNR ${psnr.toFixed(1)}${lpips === undefined ? '' : `, LPIPS ${lpips.toFixed(3)}`}`;

function rowOf(
  sample: DatasetSample,
  done: Done,
  classes: readonly DatasetClass[],
  scores: [ImageScores, ImageScores],
): SheetRow {
  const colours = classes.map(({ colour }) => colour);
  const pictures: CaptionedPicture[] = [
    { caption: caption('degraded', scores[0]), picture: done.degraded },
    { caption: caption('restored', scores[1]), picture: done.restored },
    { caption: 'as it was', picture: sample.image },
    { caption: 'segmented', picture: overlayLabels(done.restored, done.labels, colours) },
    ...(sample.labels ? [{ caption: 'its labels', picture: colourLabels(sample.labels, colours) }] : []),
  ];
  return { title: sample.id, pictures, legend: legendOf(done.labels, classes) };
}

/** Degrades good photographs and scenes, restores and segments them, and scores what came out.
 * @throws when the model has other classes than the scenes */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { pipeline, settings, network, onSample } = options;
  const { classes } = pipeline;
  if (classes.some(({ name }, label) => SCENE_CLASSES[label]?.name !== name)) {
    throw new Error(
      `demo: the model has the scenes' ${SCENE_CLASSES.length} classes; got ${classes.length}; give one that was trained on scenes`,
    );
  }
  const samples = await samplesOf(options);
  const kinds = new Map<string, { degraded: Scores; restored: Scores; images: number }>();
  const matrix = new ConfusionMatrix({ classes: classes.length });
  const rows: SheetRow[] = [];
  const seconds = { restore: 0, segment: 0 };
  for (const [i, sample] of samples.entries()) {
    onSample(i, samples.length, sample.id);
    const degraded = degrade(sample.image, settings, { seed: FIRST_SEED + i }).image;
    const start = performance.now();
    const labels = await pipeline.segment(degraded);
    const segmented = performance.now();
    const restored = await pipeline.restore(degraded);
    seconds.segment += (segmented - start) / 1000 / samples.length;
    seconds.restore += (performance.now() - segmented) / 1000 / samples.length;
    const kind = kinds.get(sample.kind) ?? { degraded: new Scores(network), restored: new Scores(network), images: 0 };
    kinds.set(sample.kind, { ...kind, images: kind.images + 1 });
    const scores: [ImageScores, ImageScores] = [
      await kind.degraded.add(degraded, sample.image),
      await kind.restored.add(restored, sample.image),
    ];
    if (sample.labels !== undefined) matrix.add(labels, sample.labels);
    rows.push(rowOf(sample, { degraded, restored, labels }, classes, scores));
  }
  const means = [...kinds].map(([name, { images, degraded, restored }]) => [
    name,
    { images, degraded: degraded.means(), restored: restored.means() },
  ]);
  const { miou, pixelAccuracy } = matrix.scores();
  return { rows, scores: Object.fromEntries(means), miou, pixelAccuracy, seconds };
}
