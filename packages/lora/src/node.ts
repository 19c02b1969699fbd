import { mkdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Checkpoint, parseJson } from '@rass/weights';
import { fileSink, openCheckpoint, saveSafetensors } from '@rass/weights/node';
import { type AdapterDescription, describeAdapter } from './files/describe-adapter.ts';
import { type OpenAdapterOptions, type OpenedAdapter, readAdapter } from './files/open-adapter.ts';
import { encodeAdapter, type WriteAdapterOptions } from './files/write-adapter.ts';
import type { AdapterState } from './state.ts';

const CONFIG = 'adapter_config.json';
const PEFT_WEIGHTS = ['adapter_model.safetensors', 'adapter_model.bin'];
const WEIGHTS = [...PEFT_WEIGHTS, 'pytorch_lora_weights.safetensors', 'pytorch_lora_weights.bin'];

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The file of a folder that PEFT or diffusers wrote. */
async function weightsIn(folder: string): Promise<string> {
  for (const name of WEIGHTS) if (await exists(join(folder, name))) return join(folder, name);
  throw new Error(
    `lora: ${folder}: a folder with an adapter has ${WEIGHTS.join(' or ')}; got none of them; give the file itself`,
  );
}

async function readConfig(path: string): Promise<unknown> {
  try {
    return parseJson(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new Error(`lora: ${path}: a configuration is JSON; got "${(cause as Error).message}"; look at the file`, {
      cause,
    });
  }
}

/** PEFT's configuration, which stands beside its file. */
async function configBeside(file: string): Promise<unknown> {
  const path = join(dirname(file), CONFIG);
  return PEFT_WEIGHTS.includes(basename(file)) && (await exists(path)) ? readConfig(path) : undefined;
}

/** An adapter's file that is open, and the configuration that stands beside it. */
export interface AdapterSource {
  readonly checkpoint: Checkpoint;
  /** PEFT's adapter_config.json, for readAdapter. */
  readonly config?: unknown;
  /** The paths of what was found. */
  readonly files: readonly string[];
}

/** Opens an adapter's file by its path, or the one in the folder that PEFT or diffusers wrote, for readAdapter. The checkpoint is the caller's to
 * close. @throws when a folder has no adapter, or like openCheckpoint of @rass/weights */
export async function openAdapterSource(path: string): Promise<AdapterSource> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const file = isFolder ? await weightsIn(path) : path;
  const config = await configBeside(file);
  const checkpoint = await openCheckpoint(file);
  if (config === undefined) return { checkpoint, files: [file] };
  return { checkpoint, config, files: [join(dirname(file), CONFIG), file] };
}

/** Opens and reads an adapter by its path: a file of any format, or the folder that PEFT or diffusers wrote. PEFT's configuration
 * is looked for beside its file. @throws like readAdapter, and when a folder has no adapter */
export async function openAdapter(path: string, options: OpenAdapterOptions = {}): Promise<OpenedAdapter> {
  const { checkpoint, config: beside } = await openAdapterSource(path);
  const { config = beside } = options;
  try {
    return await readAdapter(checkpoint, { ...options, ...(config !== undefined && { config }) });
  } finally {
    await checkpoint.close();
  }
}

/** What an adapter's file holds, or the folder that PEFT or diffusers wrote; undefined for a file that holds none. No model is needed.
 * @throws like describeAdapter, and when a folder has no adapter */
export async function describeAdapterFile(path: string): Promise<AdapterDescription | undefined> {
  const { checkpoint, config } = await openAdapterSource(path);
  try {
    return await describeAdapter(checkpoint, { config });
  } finally {
    await checkpoint.close();
  }
}

async function writeText(path: string, text: string): Promise<void> {
  const sink = await fileSink(path);
  try {
    await sink.writeAt(0, new TextEncoder().encode(text));
  } catch (error) {
    await sink.abort();
    throw error;
  }
  await sink.commit();
}

/** Writes an adapter: PEFT's as a folder, the others as one file. Files are written beside their place and renamed.
 * @throws when the format has no place for a part of the adapter, by name; then nothing is written */
export async function saveAdapter(path: string, state: AdapterState, options: WriteAdapterOptions): Promise<void> {
  const { tensors, metadata, config } = encodeAdapter(state, options);
  if (config === undefined) return saveSafetensors(path, tensors, { metadata });
  await mkdir(path, { recursive: true });
  await saveSafetensors(join(path, WEIGHTS[0]), tensors, { metadata });
  await writeText(join(path, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}
