import { type Checkpoint, type ReadPartOptions, type TensorPart, tensorNotFound } from './checkpoint.ts';
import { SafetensorsError } from './safetensors/safetensors-error.ts';
import type { ByteSource } from './source/byte-source.ts';
import { type ByteFolder, checkInside } from './source/folder.ts';
import { parseJson } from './source/parse-json.ts';

// Of 150,000 tensors.
const MAX_INDEX_BYTES = 16 << 20;

interface ShardIndex {
  /** Which file holds each tensor. */
  readonly files: ReadonlyMap<string, string>;
  readonly metadata: Record<string, string>;
}

function refuse(name: string, rule: string, got: string): never {
  throw new SafetensorsError(
    'InvalidIndex',
    `${name}: ${rule}; got ${got.length > 300 ? `${got.slice(0, 300)}...` : got}`,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseIndex(name: string, text: string): ShardIndex {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SafetensorsError('InvalidIndex', `${name}: an index is JSON; got "${reason}"`, { cause });
  }
  const map = isObject(json) ? json.weight_map : undefined;
  if (!isObject(json) || !isObject(map))
    return refuse(
      name,
      'an index has a weight_map',
      Object.keys(json ?? {})
        .join(', ')
        .slice(0, 200) || 'nothing',
    );
  const files = new Map<string, string>();
  for (const [key, file] of Object.entries(map)) {
    if (typeof file !== 'string')
      return refuse(name, `the weight_map names a file for each tensor`, `${file} for "${key}"`);
    files.set(key, checkInside(file));
  }
  if (files.size === 0)
    return refuse(name, 'a weight_map names at least one tensor', 'an empty one; it may be cut off');
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(isObject(json.metadata) ? json.metadata : {})) {
    metadata[key] = typeof value === 'string' ? value : JSON.stringify(value);
  }
  return { files, metadata };
}

/** The files that an index names. @throws SafetensorsError `InvalidIndex` where it is none */
export function shardFiles(name: string, text: string): string[] {
  return [...new Set(parseIndex(name, text).files.values())];
}

async function openShards(
  index: ShardIndex,
  name: string,
  folder: ByteFolder,
  open: (source: ByteSource) => Promise<Checkpoint>,
  signal?: AbortSignal,
): Promise<Map<string, Checkpoint>> {
  const shards = new Map<string, Checkpoint>();
  let opening: ByteSource | undefined;
  try {
    for (const file of new Set(index.files.values())) {
      const source = await folder.open(file, signal);
      if (source === undefined)
        return refuse(name, 'every shard lies beside the index', `no "${file}" in ${folder.name}`);
      opening = source;
      shards.set(file, await open(source));
      opening = undefined;
    }
  } catch (error) {
    await opening?.close();
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
  return shards;
}

/** Opens the files of a `*.index.json`, as Hugging Face lays sharded checkpoints out, as one checkpoint. What a shard holds
 * beyond the index counts too.
 * @throws SafetensorsError `InvalidIndex` when a shard or a tensor is missing */
export async function openSharded(
  source: ByteSource,
  folder: ByteFolder,
  open: (source: ByteSource) => Promise<Checkpoint>,
  signal?: AbortSignal,
): Promise<Checkpoint & { readonly shardMetadata: readonly Checkpoint['metadata'][] }> {
  const { name } = source;
  if (source.size > MAX_INDEX_BYTES) refuse(name, `an index has at most ${MAX_INDEX_BYTES} bytes`, `${source.size}`);
  const index = parseIndex(name, new TextDecoder().decode(await source.read(0, source.size, signal)));
  const shards = await openShards(index, name, folder, open, signal);
  await source.close();
  const owners = new Map<string, Checkpoint>();
  for (const [file, shard] of shards) {
    for (const key of shard.keys()) {
      const owner = index.files.get(key) ?? file;
      if (owner === file) owners.set(key, shard);
    }
  }
  const missing = [...index.files].find(([key]) => !owners.has(key));
  if (missing !== undefined) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    refuse(name, 'a shard holds the tensors that the index says', `no "${missing[0]}" in "${missing[1]}"`);
  }
  const ownerOf = (key: string): Checkpoint => {
    const owner = owners.get(key);
    if (owner === undefined) throw tensorNotFound(name, key, owners.keys());
    return owner;
  };
  return {
    name,
    format: 'sharded',
    metadata: index.metadata,
    shardMetadata: [...shards.values()].map(({ metadata }) => metadata),
    keys: () => [...owners.keys()],
    has: (key) => owners.has(key),
    info: (key) => ownerOf(key).info(key),
    read: (key, options) => ownerOf(key).read(key, options),
    ...([...shards.values()].every(({ readPart }) => readPart !== undefined) && {
      readPart: (key: string, part: TensorPart, options?: ReadPartOptions) =>
        ownerOf(key).readPart!(key, part, options),
    }),
    async close() {
      await Promise.all([...shards.values()].map((shard) => shard.close()));
    },
  };
}
