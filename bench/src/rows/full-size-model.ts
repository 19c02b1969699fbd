import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ADE20K_CLASSES } from '@rass/datasets';
import { adapterFactors } from '@rass/lora';
import { parseMask2FormerConfig } from '@rass/mask2former';
import { type ParamSource, shapeParams, type TensorRequest } from '@rass/nn';
import { RASS_TAPS, rassHeadParams, scrAdapters, segAdapters } from '@rass/rass';
import { clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { parseUnetConfig, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeParams } from '@rass/vae';
import { fromFloat32 } from '@rass/weights';
import { createSafetensors } from '@rass/weights/node';

/** Stable Diffusion 2.1's and RASS's configurations, as they are published. */
export interface FullSizeConfigs {
  readonly unet: unknown;
  readonly vae: unknown;
  readonly text: unknown;
}

const LORA = { rank: 4, alpha: 8 };
const HEAD = { num_labels: ADE20K_CLASSES.length };
const FUSION = { taps: RASS_TAPS.map(({ name, channels, stride }) => ({ name, channels, stride })), channels: 512, groups: 32 }; // biome-ignore format: one line
const SCHEDULER = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const STAGES = {
  format: 1,
  restoration: { file: 'scr.safetensors', ...LORA, latentUpdate: 'residual', timestep: 1 },
  segmentation: {
    file: 'seg.safetensors',
    ...LORA,
    timestep: 1,
    mergesRestoration: true,
    size: 512,
    classes: ADE20K_CLASSES.map(({ name, colour: [red, green, blue] }) => ({ name, colour: [red, green, blue] })),
    head: HEAD,
    fusion: FUSION,
  },
};

/** How far a tensor's values reach from 0, about as those of an untrained layer do. */
function boundOf({ init, shape }: TensorRequest): number {
  if (init.kind === 'uniform') return init.bound;
  if (init.kind === 'normal') return 2 * init.deviation;
  return shape.length > 1 ? 0.02 : 0;
}

function valuesOf(request: TensorRequest, random: () => number): Float32Array<ArrayBuffer> {
  const { shape, init } = request;
  const middle = init.kind === 'constant' ? init.value : 0;
  const bound = boundOf(request);
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  return values.map(() => middle + bound * random());
}

/** Writes random numbers of float16 for all that a model asks its source for. */
async function writeWeights(path: string, build: (from: ParamSource) => unknown): Promise<void> {
  const requests = new Map<string, TensorRequest>();
  build(shapeParams((request) => requests.set(request.key, request)));
  const specs = new Map(
    [...requests].map(([key, { checkpointShape }]) => [key, { dtype: 'F16', shape: [...checkpointShape] } as const]),
  );
  const writer = await createSafetensors(path, specs);
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  for (const [key, request] of requests) await writer.write(key, fromFloat32(valuesOf(request, random), 'F16'));
  await writer.finish();
}

/** Writes a model of Stable Diffusion 2.1's and RASS's size with random weights. */
export async function writeFullSizeModel(folder: string, { unet, vae, text }: FullSizeConfigs): Promise<void> {
  const [unetConfig, vaeConfig, textConfig] = [parseUnetConfig(unet), parseVaeConfig(vae), parseClipTextConfig(text)];
  const shapes = unetParams(shapeParams(), unetConfig);
  const stage = (adapters: ReturnType<typeof scrAdapters>) => (from: ParamSource) => [
    from.at('conv_in').conv2d(unetConfig.inChannels, shapes.convIn.bias!.size, { padding: 1 }),
    ...adapters.map((adapter) => adapterFactors(from, shapes, adapter)),
  ];
  const weights: [string, (from: ParamSource) => unknown][] = [
    ['unet/diffusion_pytorch_model', (from) => unetParams(from, unetConfig)],
    ['vae/diffusion_pytorch_model', (from) => vaeParams(from, vaeConfig)],
    ['text_encoder/model', (from) => clipTextParams(from, textConfig)],
    ['scr', stage(scrAdapters(LORA))],
    ['seg', (from) => [stage(segAdapters(LORA))(from), rassHeadParams(from, parseMask2FormerConfig(HEAD), FUSION)]],
  ];
  const texts: [string, unknown][] = [
    ['model_index.json', { _class_name: 'StableDiffusionPipeline' }],
    ['rass.json', STAGES],
    ['scheduler/scheduler_config.json', SCHEDULER],
    ['unet/config.json', unet],
    ['vae/config.json', vae],
    ['text_encoder/config.json', text],
  ];
  for (const part of ['unet', 'vae', 'text_encoder', 'scheduler']) await mkdir(join(folder, part), { recursive: true });
  for (const [path, value] of texts) await writeFile(join(folder, path), JSON.stringify(value));
  for (const [path, build] of weights) await writeWeights(join(folder, `${path}.safetensors`), build);
}
