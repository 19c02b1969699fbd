import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from './checkpoint.ts';
import {
  type DiffusersFolder,
  type DiffusersFolderOptions,
  openDiffusersFolder as openFolder,
} from './diffusers-folder.ts';
import { fileSink } from './node/file-sink.ts';
import { fileSource } from './node/file-source.ts';
import { fileFolder } from './node/folder.ts';
import { type OpenOptions, openCheckpoint as open } from './open.ts';
import { type ShardOptions, startShardedSafetensors } from './safetensors/shards.ts';
import { type Named, startSafetensors, type TensorToWrite, type WriteOptions, writeAll } from './safetensors/write.ts';
import type { ByteSource } from './source/byte-source.ts';
import type { ByteFolder } from './source/folder.ts';
import type { TensorSpec, TensorWriter } from './writer.ts';

export { fileSink } from './node/file-sink.ts';
export { fileSource } from './node/file-source.ts';
export { fileFolder } from './node/folder.ts';

const isUrl = (text: string): boolean => /^(https?|blob|data):/i.test(text);

/** The path that a text or a file: URL means; undefined for what lies elsewhere. */
function pathOf(from: unknown): string | undefined {
  if (from instanceof URL) return from.protocol === 'file:' ? fileURLToPath(from) : undefined;
  if (typeof from !== 'string' || isUrl(from)) return undefined;
  return from.startsWith('file:') ? fileURLToPath(from) : from;
}

/** Opens a checkpoint by its path; else as the package's own openCheckpoint does. A shard index finds its files beside it.
 * @throws SafetensorsError, PickleError or WeightsError, whose `rule` says why */
export async function openCheckpoint(
  from: string | URL | Blob | ArrayBuffer | Uint8Array | ByteSource,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  const path = pathOf(from);
  if (path === undefined) return open(from, options);
  return open(await fileSource(path), { folder: fileFolder(dirname(path)), ...options });
}

/** Opens a Stable Diffusion model in diffusers' layout by its path; else as the package's own openDiffusersFolder does. */
export function openDiffusersFolder(
  root: string | URL | ByteFolder,
  options: DiffusersFolderOptions = {},
): Promise<DiffusersFolder> {
  const path = pathOf(root);
  return openFolder(path === undefined ? root : fileFolder(path), options);
}

/** Starts a safetensors file that appears under its path only when the writer has finished. */
export async function createSafetensors(
  path: string,
  specs: Named<TensorSpec>,
  options: WriteOptions = {},
): Promise<TensorWriter> {
  return startSafetensors(await fileSink(path), specs, options);
}

/** Writes tensors as one safetensors file, which appears only when it is whole. */
export async function saveSafetensors(
  path: string,
  tensors: Named<TensorToWrite>,
  options: WriteOptions = {},
): Promise<void> {
  await writeAll(await createSafetensors(path, tensors, options), tensors);
}

/** Starts a checkpoint of as many files as its size asks for, with an index, in a folder that is made where it is missing. */
export async function createShardedSafetensors(
  folder: string,
  specs: Named<TensorSpec>,
  options: ShardOptions = {},
): Promise<TensorWriter> {
  await mkdir(folder, { recursive: true });
  return startShardedSafetensors((file) => fileSink(join(folder, file)), specs, options);
}
