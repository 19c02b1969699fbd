// Teaches a small UNet, from nothing, to attend to what a prompt names: 200 steps on photographs with object masks.
//   pnpm example 02 --data <folder> [--steps 200] [--out attention-maps.png] [--no-masks]
// The folder has one folder for each photograph, with img.jpg and mask0.png, mask1.png, ... (white on black).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  alignmentLoss,
  attentionIou,
  grid,
  type HostMaps,
  heatMap,
  type LabelMap,
  normalizeMaps,
  type Picture,
  presentClasses,
  readMaps,
  type Size,
  tagMaps,
  tagPrompt,
  tagValues,
} from '@rass/attention-alignment';
import { decodeImage } from '@rass/images';
import { selectBackend, valueAndGradients } from '@rass/kernels';
import { disposeParams, randomParams, trainable, trainableTensors } from '@rass/nn';
import { clipText, clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { createTokenizer } from '@rass/text-encoder/presets';
import { attentionNames, parseUnetConfig, type Unet, unet, unetParams } from '@rass/unet';
import { dispose, ones, type Tensor3D, type Tensor4D, tensor4d, tidy, train } from '@tensorflow/tfjs-core';
import { decode as decodePng, encode as encodePng } from 'fast-png';

const LATENTS: Size = [32, 32];
const SEED = 1;
/** What the masks of each photograph show; the rest is `background`. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  bear: ['bowl', 'seashell', 'panda'],
  rabbit: ['rabbit', 'jacket'],
  sheep: ['sheep', 'flowerpot', 'vase', 'wagon'],
  toys: ['dinosaur', 'duck', 'ball'],
};
const BACKGROUND = 0;

interface Sample {
  readonly name: string;
  /** [H, W, 3] in [-1, 1], as many rows and columns as the latents have */
  readonly pixels: Float32Array;
  readonly labels: LabelMap;
  /** By class. */
  readonly tags: readonly string[];
}

/** The mean colour of each cell: what stands in for an encoder here. */
function cells({ width, height, data }: { width: number; height: number; data: Uint8Array }): Float32Array {
  const [rows, columns] = LATENTS;
  const out = new Float32Array(rows * columns * 3);
  const [cellHeight, cellWidth] = [height / rows, width / columns];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor(y / cellHeight) * columns + Math.floor(x / cellWidth);
      for (let c = 0; c < 3; c++) out[3 * cell + c] += data[3 * (y * width + x) + c] / 127.5 / (cellHeight * cellWidth);
    }
  }
  return out.map((value) => value - 1);
}

async function readSample(folder: string, name: string): Promise<Sample> {
  const photograph = await decodeImage(readFileSync(join(folder, name, 'img.jpg')));
  const files = readdirSync(join(folder, name)).filter((file) => /^mask\d+\.png$/.test(file)).sort(); // biome-ignore format: one line
  const { width, height } = photograph;
  const labels = new Int32Array(width * height);
  files.forEach((file, i) => {
    const mask = decodePng(readFileSync(join(folder, name, file)));
    for (let p = 0; p < labels.length; p++) if (mask.data[p * mask.channels] > 127) labels[p] = i + 1;
  });
  const tags = ['background', ...files.map((_, i) => NAMES[name]?.[i] ?? `object ${i}`)];
  return { name, pixels: cells(photograph), labels: { size: [height, width], labels }, tags };
}

const config = parseUnetConfig({
  sample_size: LATENTS[0],
  in_channels: 3,
  block_out_channels: [32, 64],
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
  up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 8,
  attention_head_dim: [2, 4],
  cross_attention_dim: 64,
  use_linear_projection: true,
});
const UP = attentionNames(config).filter(({ place }) => place === 'up').map(({ name }) => name); // biome-ignore format: one line

/** A batch of everything, and the prompts' tags with their classes. */
function batchOf(samples: readonly Sample[]) {
  const tokenizer = createTokenizer({ preset: 'stable-diffusion-2' });
  const prompts = samples.map(({ tags, labels }) => {
    const present = presentClasses(labels);
    const prompt = tagPrompt(present.map((label) => tags[label]), tokenizer.tokenize, { shuffle: SEED }); // biome-ignore format: one line
    return { ...prompt, classes: prompt.tags.map(({ tag }) => tags.indexOf(tag)) };
  });
  const textConfig = parseClipTextConfig({ hidden_size: 64, num_attention_heads: 4, num_hidden_layers: 2 });
  const text = clipTextParams(randomParams(SEED), textConfig);
  const { lastHiddenState } = tidy(() => clipText(text, tokenizer.encodeBatch(prompts.map((prompt) => prompt.text))));
  disposeParams(text);
  const pixels = Float32Array.from(samples.flatMap((sample) => [...sample.pixels]));
  return {
    sample_BHWC: tensor4d(pixels, [samples.length, ...LATENTS, 3]),
    text_BTD: lastHiddenState as Tensor3D,
    tags: prompts.map((prompt) => prompt.tags),
    classes: prompts.map((prompt) => prompt.classes),
    labels: samples.map((sample) => sample.labels),
  };
}
type Batch = ReturnType<typeof batchOf>;

const attend = (p: Unet, { sample_BHWC, text_BTD }: Batch): Readonly<Record<string, Tensor4D>> =>
  unet(p, { sample_BHWC, text_BTD, timestep: 1, attention: UP }).attention;

/** Each tag's share of the attention that the tags of a prompt get, on the finest maps of each sample, on the host. */
async function finestMaps(p: Unet, batch: Batch): Promise<HostMaps[]> {
  const maps = tidy(() => {
    const [finest] = tagMaps(attend(p, batch), batch.tags, LATENTS);
    return normalizeMaps({ maps: finest.maps, present: ones([batch.tags.length, 1, finest.maps.shape[2]]) }, 'tags');
  });
  const read = await readMaps({ size: LATENTS, maps }, batch.tags);
  maps.dispose();
  return read;
}

function meanIou(maps: readonly HostMaps[], { classes, labels }: Batch): number {
  const all = maps.map((each, b) => attentionIou(each, classes[b], labels[b]).mean);
  return all.reduce((a, b) => a + b, 0) / all.length;
}

const CELL = 96;

/** Rows for each photograph: its tags' maps before and after, and the masks where they are wanted. */
function picture(
  before: readonly HostMaps[],
  after: readonly HostMaps[],
  { classes, labels }: Batch,
  masks: boolean,
): Picture {
  const columns = Math.max(...classes.map((each) => each.length));
  const blank = heatMap([0], [1, 1], { size: [CELL, CELL] });
  const size: Size = [CELL, CELL];
  const row = (draw: (i: number) => Picture, count: number): Picture[] =>
    Array.from({ length: columns }, (_, i) => (i < count ? draw(i) : blank));
  const pictures = classes.flatMap((ofSample, b) => {
    // The background last, so that the objects stand below each other.
    const order = ofSample.map((_, i) => i).sort((i, j) => Number(ofSample[i] === BACKGROUND) - Number(ofSample[j] === BACKGROUND)); // biome-ignore format: one line
    const maps = (each: HostMaps) =>
      row((i) => heatMap(tagValues(each, order[i]), LATENTS, { size, max: 1 }), order.length);
    const mask = (i: number) => heatMap(Array.from(labels[b].labels, (label) => Number(label === ofSample[order[i]])), labels[b].size, { size }); // biome-ignore format: one line
    return [...maps(before[b]), ...maps(after[b]), ...(masks ? row(mask, order.length) : [])];
  });
  return grid(pictures, { columns });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: join(process.env.RASS_TEST_DATA ?? '', 'seg-mini/objects') },
      steps: { type: 'string', default: '200' },
      out: { type: 'string', default: 'attention-maps.png' },
      backend: { type: 'string', default: 'auto' },
      masks: { type: 'boolean', default: true },
    },
    allowNegative: true,
  });
  await selectBackend(values.backend as 'auto');
  const names = readdirSync(values.data).sort();
  const samples = await Promise.all(names.map((name) => readSample(values.data, name)));
  const batch = batchOf(samples);
  const params = trainable(unetParams(randomParams(SEED), config), () => true);
  const variables = trainableTensors(params);
  const optimizer = train.adam(2e-3);
  const before = await finestMaps(params, batch);
  console.log(`attention IoU before: ${meanIou(before, batch).toFixed(3)}`);
  const steps = Number(values.steps);
  const { tags, classes, labels } = batch;
  const loss = () =>
    alignmentLoss({ tags, classes, labels, probabilities: attend(params, batch), latents: LATENTS }).loss;
  for (let step = 1; step <= steps; step++) {
    // What lies behind the last attention has no part in the loss.
    const { value, gradients } = valueAndGradients(loss, variables, { unconnected: 'zeros' });
    optimizer.applyGradients(Object.entries(gradients).map(([key, tensor]) => ({ name: variables[key].name, tensor })));
    if (step % 20 === 0) console.log(`step ${step}: loss ${(await value.data())[0].toFixed(4)}`);
    dispose([value, gradients]);
  }
  const after = await finestMaps(params, batch);
  console.log(`attention IoU after: ${meanIou(after, batch).toFixed(3)}`);
  const { width, height, data } = picture(before, after, batch, values.masks);
  writeFileSync(values.out, encodePng({ width, height, data: new Uint8Array(data.buffer), channels: 4, depth: 8 }));
  console.log(`maps before and after${values.masks ? ', and masks' : ''}: ${values.out}`);
}

await main();
