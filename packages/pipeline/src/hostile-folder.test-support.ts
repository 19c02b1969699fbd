import { selectBackend } from '@rass/kernels';
import { disposeParams, randomParams } from '@rass/nn';
import { drawScene } from '@rass/scenes';
import { clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { type ByteFolder, blobFolder, makeManifest, memorySink, memoryStore, paramSpecs, saveParams, startSafetensors, storedFolder } from '@rass/weights'; // biome-ignore format: one line
import { openModel } from './model/open.ts';
import { openPipeline } from './pipeline.ts';
import { smallModelFiles } from './small-model.test-support.ts';

/** What stands in place of each value of a model's JSON, as text. */
const HOSTILE: Readonly<Record<string, string>> = {
  '1e9': '1000000000',
  '1e400': '1e400',
  '-1': '-1',
  '0': '0',
  '2^53': '9007199254740992',
  text: '"\\u001b[2J\\n<b>"',
  'long text': `"${'x'.repeat(100_000)}"`,
  'long list': `[${'1,'.repeat(100_000)}1]`,
  'list of lists': `[${'[],'.repeat(100_000)}[]]`,
  'deep list': `${'['.repeat(5000)}${']'.repeat(5000)}`,
  prototype: '{"__proto__": {"length": 1e9}, "a": 1}',
  nothing: 'null',
  object: '{}',
};

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly (string | number)[];

/** The leaves and the containers of a JSON; of a list's entries and of a table's fields the first two. */
function placesOf(value: Json, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const entries = Array.isArray(value) ? [...value.entries()].slice(0, 2) : Object.entries(value);
  const some = entries.length > 40 ? entries.slice(0, 2) : entries;
  return [path, ...some.flatMap(([key, below]) => placesOf(below, [...path, key]))];
}

/** The JSON's text with another in place of the value at a path. */
function replaced(value: Json, path: Path, text: string): string {
  const mark = '@@here@@';
  const changed = structuredClone({ root: value }) as { [key: string]: Json };
  let at: Json = changed;
  for (const step of ['root', ...path.slice(0, -1)].slice(0, path.length)) at = (at as never)[step];
  (at as Record<string, Json>)[path.length === 0 ? 'root' : String(path.at(-1))] = mark;
  return JSON.stringify(changed['root']).replace(JSON.stringify(mark), () => text);
}

const json = (value: unknown): Blob => new Blob([JSON.stringify(value)]);
const END = '<|endoftext|>';
const START = '<|startoftext|>';

/** The small model with a small vocabulary of its own, its UNet in a shard with an index, and the list of its files. */
export async function hostileModelFiles(): Promise<Map<string, Blob>> {
  const files = await smallModelFiles();
  const letters = [...'abcdefghijklmnopqrstuvwxyz,'];
  const tokens = [...letters, ...letters.map((each) => `${each}</w>`), START, END];
  const TEXT = { vocab_size: tokens.length, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 77, eos_token_id: tokens.length - 1 }; // biome-ignore format: one line
  const text = clipTextParams(randomParams(2), parseClipTextConfig(TEXT));
  const sink = memorySink();
  await saveParams(text, await startSafetensors(sink, paramSpecs(text)));
  disposeParams(text);
  files.set('text_encoder/config.json', json(TEXT));
  files.set('text_encoder/model.safetensors', new Blob([sink.bytes()]));
  files.set('tokenizer/vocab.json', json(Object.fromEntries(tokens.map((token, id) => [token, id]))));
  files.set('tokenizer/merges.txt', new Blob(['#version: 0.2\n']));
  files.set('tokenizer/tokenizer_config.json', json({ model_max_length: 77, pad_token: END, bos_token: START, eos_token: END, unk_token: END, added_tokens_decoder: { [tokens.length - 1]: { content: END, special: true } } })); // biome-ignore format: one line
  const unet = files.get('unet/diffusion_pytorch_model.safetensors')!;
  files.delete('unet/diffusion_pytorch_model.safetensors');
  files.set('unet/a.safetensors', unet);
  const length = Number(new DataView(await unet.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  const header = JSON.parse(await unet.slice(8, 8 + length).text());
  const map = Object.fromEntries(Object.keys(header).filter((key) => key !== '__metadata__').map((key) => [key, 'a.safetensors'])); // biome-ignore format: one line
  files.set(
    'unet/diffusion_pytorch_model.safetensors.index.json',
    json({ metadata: { total_size: 1 }, weight_map: map }),
  );
  files.set('files.json', json(await makeManifest(blobFolder(files), [...files.keys()])));
  return files;
}

/** A case: a file, the place in it, what stands there. */
export interface HostileCase {
  readonly file: string;
  readonly at: string;
  readonly value: string;
  readonly text: string;
}

/** Every case, in an order that stays the same. */
export async function hostileCases(files: ReadonlyMap<string, Blob>): Promise<HostileCase[]> {
  const cases: HostileCase[] = [];
  for (const [file, blob] of files) {
    if (!file.endsWith('.json')) continue;
    const value = JSON.parse(await blob.text()) as Json;
    cases.push({ file, at: '', value: 'NaN', text: (await blob.text()).replace(/[0-9]+/, 'NaN') });
    for (const path of placesOf(value)) {
      for (const [name, text] of Object.entries(HOSTILE)) {
        cases.push({ file, at: path.join('.'), value: name, text: replaced(value, path, text) });
      }
    }
  }
  return cases;
}

/** Loads what the file is of: most of what is wrong is found here, before the whole is loaded. */
async function loadPart(folder: ByteFolder, file: string): Promise<void> {
  const model = await openModel(folder);
  try {
    if (file.startsWith('unet/')) disposeParams(await model.loadUnet());
    if (file.startsWith('vae/')) disposeParams(await model.loadVae());
    if (!/^(text_encoder|tokenizer)\//.test(file)) return;
    const text = await model.loadTags();
    try {
      text.embed(await text.prompt(['a'])).dispose();
    } finally {
      text.dispose();
    }
  } finally {
    await model.close();
  }
}

/** Opens and runs a model whose file says something else, and tells what came of it. */
async function outcomeOf(files: ReadonlyMap<string, Blob>, { file, text }: HostileCase): Promise<object> {
  const changed = blobFolder(new Map([...files, [file, new Blob([text])]]));
  const image = drawScene({ seed: 3, width: 64, height: 64 }).image;
  try {
    const folder = file === 'files.json' ? await storedFolder(changed, { store: memoryStore() }) : changed;
    await loadPart(folder, file);
    if (/^(text_encoder|tokenizer|model_index)/.test(file)) return { passed: true };
    const pipeline = await openPipeline(folder, { restore: true, segment: true });
    try {
      await pipeline.segment(image, { tags: ['a'] });
      return { passed: true };
    } finally {
      pipeline.dispose();
    }
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}

/** Runs the cases from the one of a number on, and prints what came of each and the most memory so far. */
export async function runHostileCases(first: number): Promise<void> {
  await selectBackend('cpu');
  const files = await hostileModelFiles();
  const cases = await hostileCases(files);
  for (const [index, { text, ...each }] of [...cases.entries()].slice(first)) {
    console.log(JSON.stringify({ index, ...each, started: true }));
    const start = performance.now();
    const outcome = await outcomeOf(files, { text, ...each });
    const megabytes = process.resourceUsage().maxRSS / 1024;
    console.log(JSON.stringify({ index, ...each, ...outcome, seconds: (performance.now() - start) / 1000, megabytes }));
  }
}
