// The page of `pnpm bench browser`: the same models by our shaders, by TensorFlow.js's, and by onnxruntime-web, in turns.
import { selectBackend } from '@rass/kernels';
import { parseUnetConfig, unet, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeDecode, vaeDecoderParams } from '@rass/vae';
import { blobFolder, loadParams, openDiffusersFolder } from '@rass/weights';
import { backend, type Tensor, type Tensor3D, type Tensor4D, tensor, tidy, transpose } from '@tensorflow/tfjs-core';

/** What the page is asked for. */
export interface Question {
  /** The model's files, below /model/. */
  readonly files: readonly string[];
  readonly latents: number;
  readonly rounds: number;
}

/** What one model took on each side, in seconds, one for each round, and how far the results are apart as a share of the largest value. */
export interface Answer {
  readonly name: string;
  readonly seconds: Readonly<Record<Side, readonly number[]>>;
  readonly difference: Readonly<Record<Exclude<Side, 'ours'>, number>>;
}

const SIDES = ['ours', 'TensorFlow.js', 'onnxruntime-web'] as const;
export type Side = (typeof SIDES)[number];

/** Of onnxruntime-web what is used here; it is fetched, not bundled. */
interface OnnxRuntime {
  readonly env: { wasm: { wasmPaths: string; numThreads: number } };
  readonly InferenceSession: {
    create(
      url: string,
      options: object,
    ): Promise<{
      run(feeds: Record<string, unknown>): Promise<Record<string, { getData(): Promise<Float32Array> }>>;
    }>;
  };
  readonly Tensor: new (type: string, data: Float32Array, dims: readonly number[]) => unknown;
}

const TIMESTEP = 1;
const TOKENS = 77;

/** Numbers around zero that are the same each time. */
function noise(...shape: number[]): Tensor {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next), shape);
}

const channelsFirst = (x: Tensor): Tensor => transpose(x, [0, 3, 1, 2]);

interface Contest {
  readonly name: string;
  /** @returns [B, C, H, W] */
  readonly ours: () => Tensor;
  readonly graph: string;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

async function contests({ files, latents }: Question): Promise<Contest[]> {
  const read = async (path: string): Promise<[string, Blob]> => [path, await (await fetch(`/model/${path}`)).blob()];
  const folder = await openDiffusersFolder(blobFolder(new Map(await Promise.all(files.map(read)))));
  const unetConfig = parseUnetConfig(folder.unet!.config);
  const vaeConfig = parseVaeConfig(folder.vae!.config);
  const { params: denoiser } = await loadParams(folder.unet!.checkpoint, (from) => unetParams(from, unetConfig));
  const { params: decoder } = await loadParams(folder.vae!.checkpoint, (from) => vaeDecoderParams(from, vaeConfig), {
    allowUnused: [/^(encoder|quant_conv)\./],
  });
  const { cross_attention_dim: width } = folder.unet!.config as { cross_attention_dim: number };
  const sample = noise(1, latents, latents, unetConfig.inChannels) as Tensor4D;
  const text = noise(1, TOKENS, width) as Tensor3D;
  const encoded = noise(1, latents, latents, vaeConfig.latentChannels) as Tensor4D;
  return [
    {
      name: `UNet step, ${latents} x ${latents} latents`,
      ours: () => channelsFirst(unet(denoiser, { sample_BHWC: sample, text_BTD: text, timestep: TIMESTEP }).sample),
      graph: '/onnx/unet.onnx',
      inputs: { sample: channelsFirst(sample), text },
    },
    {
      name: `VAE decode, ${latents} x ${latents} latents`,
      ours: () => channelsFirst(vaeDecode(decoder, encoded).image),
      graph: '/onnx/decoder.onnx',
      inputs: { latents: channelsFirst(encoded) },
    },
  ];
}

type Run = () => Promise<Float32Array>;

async function sidesOf({ ours, graph, inputs }: Contest, ort: OnnxRuntime): Promise<Readonly<Record<Side, Run>>> {
  const session = await ort.InferenceSession.create(graph, { executionProviders: ['webgpu'] });
  const feeds: Record<string, unknown> = {};
  for (const [name, input] of Object.entries(inputs)) {
    feeds[name] = new ort.Tensor('float32', Float32Array.from(await input.data()), input.shape);
  }
  const withFused = async (fused: boolean): Promise<Float32Array> => {
    (backend() as unknown as { fused: boolean }).fused = fused;
    const result = tidy(ours);
    const values = await result.data();
    result.dispose();
    return Float32Array.from(values);
  };
  return {
    ours: () => withFused(true),
    'TensorFlow.js': () => withFused(false),
    'onnxruntime-web': async () => (await session.run(feeds))['out']!.getData(),
  };
}

function differenceOf(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length)
    throw new Error(
      `bench: both sides give as many values; got ${a.length} and ${b.length}; compare the exported graph's inputs`,
    );
  let [largest, scale] = [0, 1e-12];
  for (let i = 0; i < a.length; i++) {
    scale = Math.max(scale, Math.abs(a[i]!));
    largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  }
  return largest / scale;
}

async function contest(one: Contest, rounds: number, ort: OnnxRuntime): Promise<Answer> {
  const runs = await sidesOf(one, ort);
  // Compiles the shaders.
  const ours = await runs.ours();
  const difference = {
    'TensorFlow.js': differenceOf(ours, await runs['TensorFlow.js']()),
    'onnxruntime-web': differenceOf(ours, await runs['onnxruntime-web']()),
  };
  const seconds: Record<Side, number[]> = { ours: [], 'TensorFlow.js': [], 'onnxruntime-web': [] };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < SIDES.length; i++) {
      const side = SIDES[(round + i) % SIDES.length]!;
      const start = performance.now();
      await runs[side]();
      seconds[side].push((performance.now() - start) / 1000);
    }
  }
  return { name: one.name, seconds, difference };
}

/** Runs everything. @returns the answers, and what computed */
export async function measure(question: Question): Promise<{ adapter: string; answers: Answer[] }> {
  const { description } = await selectBackend('webgpu');
  const url = '/ort/ort.webgpu.min.mjs';
  const ort = (await import(/* @vite-ignore */ url)) as OnnxRuntime;
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.wasm.numThreads = 1;
  const answers: Answer[] = [];
  for (const one of await contests(question)) answers.push(await contest(one, question.rounds, ort));
  return { adapter: description, answers };
}
