// Overfits a small Mask2Former, from nothing, on a few photographs with label maps: a check that everything learns, and a start for a
// training program of your own.
//   pnpm example 03 --data <folder> [--steps 400] [--size 384] [--out segmentation.png] [--no-photographs]
// The folder is laid out as ADE20K: images/NAME.jpg and annotations/NAME.png, 0 for unlabelled pixels and 1 to 150 for classes.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { decodeImage } from '@rass/images';
import { forwardPass, selectBackend } from '@rass/kernels';
import {
  convBackbone,
  convBackboneChannels,
  convBackboneParams,
  mask2FormerCriterion,
  mask2FormerHead,
  mask2FormerHeadConfig,
  mask2FormerHeadParams,
  outputOf,
  outputTensors,
  parseMask2FormerProcessorConfig,
  postProcessSemanticSegmentation,
  preprocess,
  type RgbImage,
} from '@rass/mask2former';
import { ConfusionMatrix } from '@rass/metrics';
import { mapTensors, namedTensors, type ParamSource, randomParams, trainable, trainableTensors } from '@rass/nn';
import { dispose, type Tensor, type Tensor4D, tidy, train } from '@tensorflow/tfjs-core';
import { decode as decodePng, encode as encodePng } from 'fast-png';

const CLASSES = 150;
const IGNORE = 255;
const SEED = 1;
const RATE = 1e-3;

/** A small baseline: 3.2 million parameters, most of them in the backbone. */
const backbone = {};
const config = {
  ...mask2FormerHeadConfig(CLASSES),
  featureSize: 64,
  maskFeatureSize: 64,
  hiddenDim: 64,
  heads: 4,
  encoderLayers: 2,
  encoderFeedforwardDim: 128,
  decoderLayers: 3,
  feedforwardDim: 256,
  queries: 20,
};
const modelParams = (from: ParamSource) => ({
  backbone: convBackboneParams(from.at('backbone'), backbone),
  head: mask2FormerHeadParams(from, config, convBackboneChannels(backbone)),
});
type Model = ReturnType<typeof modelParams>;

const run = (p: Model, pixels: Tensor4D, auxiliary: boolean) =>
  mask2FormerHead(p.head, convBackbone(p.backbone, pixels), { auxiliary });

interface Sample {
  readonly name: string;
  readonly image: RgbImage;
  /** As the file has them: 0 for unlabelled pixels. */
  readonly labels: Uint8Array;
}

async function readSample(folder: string, file: string): Promise<Sample> {
  const image = await decodeImage(readFileSync(join(folder, 'images', file)));
  const name = file.replace(/\.jpe?g$/i, '');
  const map = decodePng(readFileSync(join(folder, 'annotations', `${name}.png`)));
  if (map.width !== image.width || map.height !== image.height || map.channels !== 1) {
    throw new Error(
      `example 03: a label map is as large as its photograph, with one channel; got ${map.width} x ${map.height} x ${map.channels} for ${name}`,
    );
  }
  return { name, image, labels: Uint8Array.from(map.data) };
}

/** Classes from 0; unlabelled pixels are ignored. */
const reduced = (labels: Uint8Array): Uint8Array => labels.map((label) => (label === 0 ? IGNORE : label - 1));

async function predict(p: Model, pixels: Tensor4D, samples: readonly Sample[]): Promise<Int32Array[]> {
  const output = tidy(() => ({ ...run(p, pixels, false), auxiliary: [] }) as never) as ReturnType<typeof run>;
  const targetSizes = samples.map(({ image }) => [image.height, image.width] as const);
  const maps = await postProcessSemanticSegmentation(output, { targetSizes });
  dispose([output.classQueriesLogits, output.masksQueriesLogits]);
  return maps.map(({ segmentation }) => segmentation.data);
}

function meanIou(predictions: readonly Int32Array[], samples: readonly Sample[]): number {
  const matrix = new ConfusionMatrix({ classes: CLASSES, ignore: IGNORE });
  for (const [i, { image, labels }] of samples.entries()) {
    const { width, height } = image;
    matrix.add({ width, height, data: predictions[i] }, { width, height, data: reduced(labels) });
  }
  return matrix.scores().miou;
}

/** A colour for each class, far from its neighbours'. */
function colourOf(label: number): [number, number, number] {
  const hue = (label * 0.61803398875) % 1;
  const channel = (shift: number): number => {
    const k = (shift + hue * 6) % 6;
    return Math.round(255 * (0.95 - 0.8 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

interface Picture {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly data: Uint8Array;
}

/** Whether a pixel's label is not its right or lower neighbour's. */
function isBorder(labels: Uint8Array, width: number, p: number): boolean {
  const right = (p + 1) % width === 0 ? labels[p] : labels[p + 1];
  const below = p + width >= labels.length ? labels[p] : labels[p + width];
  return labels[p] !== right || labels[p] !== below;
}

/** What is drawn of a pixel of the photograph under a label. */
function blend(pixel: readonly number[] | undefined, label: number): number[] {
  const colour = label === IGNORE ? [0, 0, 0] : colourOf(label);
  return colour.map((value, c) => (pixel === undefined ? value : Math.round(0.45 * pixel[c] + 0.55 * value)));
}

/** The photograph, the predicted classes over it with the borders of the labels in white, and the labels. Without photographs the classes
 * alone. */
function drawRow({ image, labels }: Sample, prediction: Int32Array, photographs: boolean): Picture {
  const { width, height } = image;
  const channels = image.data.length / (width * height);
  const truth = reduced(labels);
  const parts = photographs ? 3 : 2;
  const data = new Uint8Array(width * parts * height * 3);
  for (let p = 0; p < width * height; p++) {
    const pixel = photographs ? Array.from(image.data.subarray(p * channels, p * channels + 3)) : undefined;
    const predicted = isBorder(truth, width, p) ? [255, 255, 255] : blend(pixel, prediction[p]);
    const drawn = [...(pixel === undefined ? [] : [pixel]), predicted, blend(pixel, truth[p])];
    for (const [part, colour] of drawn.entries()) {
      data.set(colour, ((Math.floor(p / width) * parts + part) * width + (p % width)) * 3);
    }
  }
  return { width: width * parts, height, data };
}

function drawAll(samples: readonly Sample[], predictions: readonly Int32Array[], photographs: boolean): Picture {
  const rows = samples.map((sample, i) => drawRow(sample, predictions[i], photographs));
  const width = Math.max(...rows.map((row) => row.width));
  const height = rows.reduce((sum, row) => sum + row.height, 0);
  const data = new Uint8Array(width * height * 3).fill(255);
  let top = 0;
  for (const row of rows) {
    for (let y = 0; y < row.height; y++) {
      data.set(row.data.subarray(y * row.width * 3, (y + 1) * row.width * 3), (top + y) * width * 3);
    }
    top += row.height;
  }
  return { width, height, data };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: join(process.env.RASS_TEST_DATA ?? '', 'seg-mini/ade20k') },
      steps: { type: 'string', default: '400' },
      size: { type: 'string', default: '384' },
      out: { type: 'string', default: 'segmentation.png' },
      backend: { type: 'string', default: 'auto' },
      photographs: { type: 'boolean', default: true },
    },
    allowNegative: true,
  });
  await selectBackend(values.backend as 'auto');
  const files = readdirSync(join(values.data, 'images')).filter((file) => /\.jpe?g$/i.test(file)).sort(); // biome-ignore format: one line
  const samples = await Promise.all(files.map((file) => readSample(values.data, file)));
  const size = Number(values.size);
  const processor = parseMask2FormerProcessorConfig({ size: { height: size, width: Math.round((size * 4) / 3 / 32) * 32 }, do_reduce_labels: true, ignore_index: IGNORE }); // biome-ignore format: one line
  const segmentationMaps = samples.map(({ image, labels }) => ({
    data: labels,
    height: image.height,
    width: image.width,
  }));
  const { pixelValues, targets = [] } = await preprocess(processor, samples.map(({ image }) => image), { segmentationMaps }); // biome-ignore format: one line

  const params = trainable(modelParams(randomParams(SEED)), () => true);
  const variables = trainableTensors(params);
  const count = namedTensors(params).reduce((sum, { tensor }) => sum + tensor.size, 0);
  console.log(`${samples.length} photographs, ${count} parameters, [${pixelValues.shape}]`);
  // Its rate falls to nothing in a straight line; the types hide the property.
  const optimizer = train.adam(RATE) as ReturnType<typeof train.adam> & { learningRate: number };
  const steps = Number(values.steps);
  const start = Date.now();
  for (let step = 1; step <= steps; step++) {
    const pass = forwardPass(
      (tensors: Record<string, Tensor>) =>
        outputTensors(run(mapTensors(params, ({ key }) => tensors[key]), pixelValues, true)),
      variables as Record<string, Tensor>,
    ); // biome-ignore format: one call
    const { loss, gradients: ofOutput } = await mask2FormerCriterion(outputOf(pass.outputs), targets, { points: step });
    const gradients = pass.gradients(ofOutput);
    optimizer.learningRate = RATE * (1 - (step - 1) / steps);
    optimizer.applyGradients(Object.entries(gradients).map(([key, tensor]) => ({ name: variables[key].name, tensor })));
    dispose([ofOutput, gradients]);
    if (step % 20 === 0) {
      const iou = meanIou(await predict(params, pixelValues, samples), samples);
      const seconds = ((Date.now() - start) / 1000 / step).toFixed(2);
      console.log(`step ${step}: loss ${loss.toFixed(3)}, mIoU ${iou.toFixed(4)}, ${seconds} s a step`);
    }
  }
  const predictions = await predict(params, pixelValues, samples);
  console.log(`mIoU: ${meanIou(predictions, samples).toFixed(4)}`);
  writeFileSync(values.out, encodePng({ ...drawAll(samples, predictions, values.photographs), channels: 3, depth: 8 }));
  console.log(`predictions and labels: ${values.out}`);
}

await main();
