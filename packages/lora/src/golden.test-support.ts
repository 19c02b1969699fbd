import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { namedTensors } from '@rass/nn';
import { type Golden, loadGolden } from '@rass/testkit';
import { parseUnetConfig, type Unet, unet, unetParams } from '@rass/unet';
import { loadParams, openCheckpoint, selectPrefix, toHwio } from '@rass/weights';
import { type Tensor, type Tensor3D, type Tensor4D, tensor, tidy, transpose } from '@tensorflow/tfjs-core';
import type { AdapterState, HostTensor, LoraUpdate } from './state.ts';

const golden = join(import.meta.dirname, '../../../test-fixtures/golden');

/** What RASS puts its LoRA on. @source restoration_adaptation/ras.py of github.com/Ka1Guan/RASS */
export const RASS_TARGETS = [
  'to_k',
  'to_q',
  'to_v',
  'to_out.0',
  'conv',
  'conv1',
  'conv2',
  'conv_in',
  'conv_shortcut',
  'proj_out',
  'proj_in',
  'ff.net.2',
  'ff.net.0.proj',
];

/** The model that the cases of test-fixtures/make/lora.py are laid over. */
export async function baseUnet(): Promise<Unet> {
  const { config } = loadGolden('unet/sd2');
  const checkpoint = selectPrefix(await openCheckpoint(readFileSync(join(golden, 'unet/sd2.safetensors'))), 'w/');
  const { params } = await loadParams(checkpoint, (from) => unetParams(from, parseUnetConfig(config)));
  return params;
}

export function runUnet(p: Unet, g: Golden): Tensor4D {
  return tidy(() => {
    const sample_BHWC = transpose(g.tensor('in/sample'), [0, 2, 3, 1]) as Tensor4D;
    return unet(p, { sample_BHWC, timestep: 7, text_BTD: g.tensor('in/text') as Tensor3D }).sample;
  });
}

export const goldenOutput = (g: Golden, name: string): Tensor4D =>
  tidy(() => transpose(g.tensor(name), [0, 2, 3, 1]) as Tensor4D);

export function host(g: Golden, name: string): HostTensor {
  const { shape, values } = g.raw(name);
  return { shape, data: values as Float32Array<ArrayBuffer> };
}

/** An adapter of a case, by peft's names within the model. */
export function goldenState(
  g: Golden,
  alphaOf: (path: string) => number,
  { rsLora = false, adapter = 'default', under = 'a/' } = {},
): AdapterState {
  const layers = new Map<string, LoraUpdate>();
  const whole = new Map<string, HostTensor>();
  for (const name of g.names(under)) {
    const down = new RegExp(`^(.*)\\.lora_(?:embedding_)?A\\.${adapter}(?:\\.weight)?$`).exec(name);
    const saved = new RegExp(`^(.*)\\.modules_to_save\\.${adapter}\\.(.*)$`).exec(name);
    const bias = /^(.*?)(?:\.base_layer)?\.bias$/.exec(name);
    if (bias !== null && !/lora_|modules_to_save/.test(name)) whole.set(`${bias[1]}.bias`, host(g, `${under}${name}`));
    if (saved !== null) whole.set(`${saved[1]}.${saved[2]}`, host(g, `${under}${name}`));
    if (down === null) continue;
    const [, path] = down;
    const magnitude = `${under}${path}.lora_magnitude_vector.${adapter}.weight`;
    const upBias = `${under}${path}.lora_B.${adapter}.bias`;
    layers.set(path, {
      kind: 'lora',
      down: host(g, `${under}${name}`),
      up: host(g, `${under}${name.replace('_A', '_B')}`),
      alpha: alphaOf(path),
      ...(g.has(magnitude) && { magnitude: host(g, magnitude) }),
      ...(g.has(upBias) && { upBias: host(g, upBias) }),
      ...(name.includes('embedding') && { embedding: true }),
    });
  }
  return { rsLora, layers, whole };
}

/** A golden tensor as a tree has it: convolutions turned, embeddings' first factor transposed. */
export function asInTree(g: Golden, name: string): Tensor {
  const { shape, values } = g.raw(name);
  if (name.includes('lora_embedding_A')) return tidy(() => transpose(g.tensor(name)));
  if (name.includes('magnitude')) return tensor(values, [values.length]);
  if (shape.length !== 4) return g.tensor(name);
  const [outputs, inputs, rows, columns] = shape;
  return tensor(toHwio(values as Float32Array<ArrayBuffer>, shape), [rows, columns, inputs, outputs]);
}

export const byKey = (tree: unknown): Map<string, Tensor> =>
  new Map(namedTensors(tree).map(({ key, tensor: value }) => [key, value]));
