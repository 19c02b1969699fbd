import { byteLengthOf, type TensorArray } from '../dtype/dtype.ts';
import type { ByteSink } from '../sink/byte-sink.ts';
import type { TensorSpec, TensorWriter } from '../writer.ts';
import { SafetensorsError } from './safetensors-error.ts';
import { entriesOf, type Named, startSafetensors, type WriteOptions } from './write.ts';

/** How a checkpoint is cut into shards. */
export interface ShardOptions extends WriteOptions {
  /** Bytes of tensors in one file; a single larger tensor has a file of its own. Default 5 GB, as Hugging Face cuts. */
  maxShardBytes?: number;
  /** `diffusion_pytorch_model` gives diffusion_pytorch_model-00001-of-00002.safetensors; default `model`. */
  baseName?: string;
}

/** Makes the sink of a file by its name. */
export type SinkMaker = (fileName: string) => Promise<ByteSink>;

const DEFAULT_SHARD_BYTES = 5_000_000_000;

interface Shard {
  readonly file: string;
  readonly specs: Map<string, TensorSpec>;
}

/** Fills files one after the other, in the order given. @throws SafetensorsError `InvalidShardSize` */
export function planShards(
  specs: Named<TensorSpec>,
  { maxShardBytes = DEFAULT_SHARD_BYTES, baseName = 'model' }: ShardOptions = {},
): Shard[] {
  if (!(maxShardBytes > 0)) {
    throw new SafetensorsError('InvalidShardSize', `shards: maxShardBytes is a positive number; got ${maxShardBytes}`);
  }
  const groups: Map<string, TensorSpec>[] = [new Map()];
  let bytes = 0;
  for (const [name, spec] of entriesOf(specs)) {
    const size = byteLengthOf(spec.dtype, spec.shape);
    if (bytes + size > maxShardBytes && groups[groups.length - 1].size > 0) {
      groups.push(new Map());
      bytes = 0;
    }
    groups[groups.length - 1].set(name, spec);
    bytes += size;
  }
  const pad = (n: number) => String(n).padStart(5, '0');
  return groups.map((group, i) => ({
    file:
      groups.length === 1
        ? `${baseName}.safetensors`
        : `${baseName}-${pad(i + 1)}-of-${pad(groups.length)}.safetensors`,
    specs: group,
  }));
}

function indexText(shards: Shard[]): string {
  const map: Record<string, string> = {};
  let total = 0;
  for (const { file, specs } of shards) {
    for (const [name, { dtype, shape }] of specs) {
      map[name] = file;
      total += byteLengthOf(dtype, shape);
    }
  }
  const sorted = Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: sorted }, null, 2)}\n`;
}

class ShardedWriter implements TensorWriter {
  readonly specs: ReadonlyMap<string, TensorSpec>;
  readonly names: readonly string[];
  readonly #shards: Shard[];
  readonly #open: SinkMaker;
  readonly #options: ShardOptions;
  readonly #writers = new Map<Shard, TensorWriter>();
  readonly #shardOf = new Map<string, Shard>();

  constructor(shards: Shard[], open: SinkMaker, options: ShardOptions) {
    this.#shards = shards;
    this.#open = open;
    this.#options = options;
    this.specs = new Map(shards.flatMap(({ specs }) => [...specs]));
    this.names = [...this.specs.keys()];
    for (const shard of shards) {
      for (const name of shard.specs.keys()) this.#shardOf.set(name, shard);
    }
  }

  async #writerOf(shard: Shard): Promise<TensorWriter> {
    const known = this.#writers.get(shard);
    if (known !== undefined) return known;
    const sink = await this.#open(shard.file);
    const writer = await startSafetensors(sink, shard.specs, { metadata: this.#options.metadata ?? {} });
    this.#writers.set(shard, writer);
    return writer;
  }

  async write(name: string, data: TensorArray): Promise<void> {
    const shard = this.#shardOf.get(name);
    if (shard === undefined) {
      throw new SafetensorsError(
        'InvalidName',
        `shards: each announced tensor is written once; got "${name}": no such name`,
      );
    }
    await (await this.#writerOf(shard)).write(name, data);
  }

  async finish(): Promise<void> {
    try {
      // The files stay hidden until all are whole; then they appear one after the other, the index last.
      const writers = await Promise.all(this.#shards.map((shard) => this.#writerOf(shard)));
      const open = this.#shards.filter((_, i) => !writers[i].isComplete);
      if (open.length > 0) {
        const files = open.slice(0, 5).map(({ file }) => file);
        throw new SafetensorsError(
          'NotWritten',
          `shards: every announced tensor is written; some are missing in ${files.join(', ')}`,
        );
      }
      for (const writer of writers) await writer.finish();
    } catch (error) {
      await this.abort();
      throw error;
    }
    if (this.#shards.length === 1) return;
    const sink = await this.#open(`${this.#options.baseName ?? 'model'}.safetensors.index.json`);
    try {
      await sink.writeAt(0, new TextEncoder().encode(indexText(this.#shards)));
    } catch (error) {
      await sink.abort();
      throw error;
    }
    await sink.commit();
  }

  get isComplete(): boolean {
    return (
      [...this.#writers.values()].every((writer) => writer.isComplete) && this.#writers.size === this.#shards.length
    );
  }

  async abort(): Promise<void> {
    for (const writer of this.#writers.values()) await writer.abort();
  }
}

/** Starts a checkpoint in as many files as its size asks for, and their `*.index.json`, which is written last: until then
 * no index names the new files. One file needs no index. @throws SafetensorsError */
export function startShardedSafetensors(
  open: SinkMaker,
  specs: Named<TensorSpec>,
  options: ShardOptions = {},
): TensorWriter {
  return new ShardedWriter(planShards(specs, options), open, options);
}
