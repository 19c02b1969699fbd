import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { normalNoise, trainableTensors } from '@rass/nn';
import { activateBackend, expectClose, loadGolden, pythonExecutable, runPython } from '@rass/testkit';
import type { Unet } from '@rass/unet';
import { add, mul, tidy } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baseUnet, RASS_TARGETS, runUnet } from '../golden.test-support.ts';
import { adapterState, addAdapter, addAdapterState, type LoraOptions, trainAdapters } from '../index.ts';
import { openAdapter, saveAdapter } from '../node.ts';
import { files, paths } from './files.test-support.ts';
import type { WriteAdapterOptions } from './write-adapter.ts';

const oracle = join(import.meta.dirname, '../../../../test-fixtures/oracle/lora.py');

// diffusers leaves the dora_scale of kohya's files out, so that DoRA is not among those.
const WRITTEN: readonly [adapter: string, options: WriteAdapterOptions][] = [
  ['plain', { format: 'peft' }],
  ['rslora', { format: 'peft' }],
  ['dora', { format: 'peft' }],
  ['whole', { format: 'peft' }],
  ['plain', { format: 'diffusers' }],
  ['rslora', { format: 'diffusers' }],
  ['plain', { format: 'kohya' }],
  ['rslora', { format: 'kohya' }],
  ['dora', { format: 'diffusers' }],
  ['plain', { format: 'kohya', names: 'original', paths }],
  ['bias-all', { format: 'peft' }],
  ['bias-lora', { format: 'peft' }],
  ['container', { format: 'peft' }],
];

/** Trees of our own: RASS's Seg LoRA has a product on a layer that is trained whole, which PEFT has no place for. */
const TREES: readonly [name: string, options: LoraOptions][] = [
  ["RASS's Seg LoRA", { targets: RASS_TARGETS, rank: 4, init: 'gaussian', modulesToSave: ['conv_in'] }],
  ['with DoRA', { targets: ['conv_in', 'to_q', 'proj_in'], dora: true, modulesToSave: ['conv_in'] }],
  ['with biases', { targets: ['conv_in', 'conv2'], loraBias: true, modulesToSave: ['conv_in'] }],
  ['a part of the model', { targets: ['to_q', 'linear_1'], modulesToSave: ['time_embedding'] }],
  ['started from the weight', { targets: ['conv_in', 'to_q'], init: 'pissa', modulesToSave: ['conv_in'] }],
  ['some blocks', { targets: ['to_q', 'conv2'], layers: [0], layersPattern: ['attentions', 'resnets'] }],
];

/** A tree with an adapter that has been trained a little, all of it. */
async function trained(base: Unet, options: LoraOptions): Promise<Unet> {
  const tree = trainAdapters(await addAdapter(base, options, { seed: 1 }));
  for (const [i, variable] of Object.values(trainableTensors(tree)).entries())
    variable.assign(tidy(() => add(variable, mul(normalNoise(variable.shape, i), 0.1))));
  return tree;
}

interface Read {
  readonly outputs: readonly number[][];
  readonly layers: readonly number[];
}

function readInPython(listed: readonly { format: string; path: string }[]): Read {
  const lines = runPython(oracle, [JSON.stringify(listed)]).split('\n');
  return JSON.parse(lines.find((line) => line.startsWith('{"outputs"')) as string);
}

describe.skipIf(pythonExecutable() === undefined)('adapters written here, in Python', () => {
  let folder: string;
  let base: Unet;
  const input = loadGolden('lora/plain');
  const output = async (tree: Unet) => (await runUnet(tree, input).data()) as Float32Array;
  beforeAll(async () => {
    await activateBackend('cpu');
    base = await baseUnet();
    folder = await mkdtemp(join(tmpdir(), 'rass-lora-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('load in peft and diffusers, with equal output', async () => {
    const ours: Float32Array[] = [];
    const layers: number[] = [];
    const listed = [];
    for (const [i, [name, options]] of WRITTEN.entries()) {
      const { adapters } = await openAdapter(join(files, `peft-${name}`), { paths });
      const path = join(folder, options.format === 'peft' ? `${i}` : `${i}.safetensors`);
      await saveAdapter(path, adapters.default, options);
      ours.push(await output(addAdapterState(base, adapters.default)));
      listed.push({ format: options.format, path });
      layers.push(adapters.default.layers.size);
    }
    const theirs = readInPython(listed);
    // Configurations that choose more layers than the adapter has would show here.
    expect(theirs.layers).toEqual(layers);
    for (const [i, [name, { format }]] of WRITTEN.entries()) {
      await expectClose(ours[i], theirs.outputs[i], { label: `${name} as ${format}` });
    }
  }, 300_000);

  it('load in peft where they were made here, layers trained whole with a product on top too', async () => {
    const ours: Float32Array[] = [];
    const layers: number[] = [];
    const listed = [];
    for (const [i, [, options]] of TREES.entries()) {
      const tree = await trained(base, options);
      const state = await adapterState(tree);
      const path = join(folder, `tree-${i}`);
      await saveAdapter(path, state, { format: 'peft' });
      ours.push(await output(tree));
      const whole = new Set([...state.whole.keys()].map((key) => key.replace(/\.(weight|bias)$/, '')));
      layers.push([...state.layers.keys()].filter((layer) => !whole.has(layer)).length);
      listed.push({ format: 'peft', path });
    }
    const theirs = readInPython(listed);
    for (const [i, [name]] of TREES.entries()) {
      await expectClose(ours[i], theirs.outputs[i], { label: name });
      const back = await openAdapter(join(folder, `tree-${i}`), { paths });
      await expectClose(await output(addAdapterState(base, back.adapters.default)), ours[i], {
        label: `${name}, read again`,
      });
    }
    expect(theirs.layers).toEqual(layers);
  }, 300_000);
});
