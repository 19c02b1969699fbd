import { bitsOf, byteLengthOf, type TensorArray } from '../dtype/dtype.ts';
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
  const map = new Map<string, string>();
  let total = 0;
  for (const { file, specs } of shards) {
    for (const [name, { dtype, shape }] of specs) {
      map.set(name, file);
      total += byteLengthOf(dtype, shape);
    }
  }
  const sorted = Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: sorted }, null, 2)}\n`;
}

class ShardedWriter implements TensorWriter {
  readonly specs: ReadonlyMap<string, TensorSpec>;
  readonly names: readonly string[];
  readonly #shards: Shard[];
  readonly #open: SinkMaker;
  readonly #options: ShardOptions;
  readonly #writers = new Map<Shard, Promise<TensorWriter>>();
  readonly #shardOf = new Map<string, Shard>();
  readonly #left: Set<string>;

  constructor(shards: Shard[], open: SinkMaker, options: ShardOptions) {
    this.#shards = shards;
    this.#open = open;
    this.#options = options;
    this.specs = new Map(shards.flatMap(({ specs }) => [...specs]));
    this.names = [...this.specs.keys()];
    this.#left = new Set(this.names);
    for (const shard of shards) {
      for (const name of shard.specs.keys()) this.#shardOf.set(name, shard);
    }
  }

  get isComplete(): boolean {
    return this.#left.size === 0;
  }

  #writerOf(shard: Shard): Promise<TensorWriter> {
    const start = async () => {
      const sink = await this.#open(shard.file);
      return startSafetensors(sink, shard.specs, { metadata: this.#options.metadata ?? {} });
    };
    const writer = this.#writers.get(shard) ?? start();
    this.#writers.set(shard, writer);
    return writer;
  }

  #shardWith(name: string): Shard {
    const shard = this.#shardOf.get(name);
    if (shard !== undefined) return shard;
    throw new SafetensorsError(
      'InvalidName',
      `shards: each announced tensor is written once; got "${name}": no such name`,
    );
  }

  async write(name: string, data: TensorArray): Promise<void> {
    await (await this.#writerOf(this.#shardWith(name))).write(name, data);
    this.#left.delete(name);
  }

  async writePart(name: string, start: number, data: TensorArray): Promise<void> {
    const { dtype, shape } = this.specs.get(name) ?? { dtype: 'U8', shape: [] };
    await (await this.#writerOf(this.#shardWith(name))).writePart(name, start, data);
    if ((start * bitsOf(dtype)) / 8 + data.byteLength === byteLengthOf(dtype, shape)) this.#left.delete(name);
  }

  async finish(metadata?: Readonly<Record<string, string>>): Promise<void> {
    try {
      if (!this.isComplete) {
        const missing = [...this.#left].slice(0, 5).join(', ');
        throw new SafetensorsError(
          'NotWritten',
          `shards: every announced tensor is written; ${this.#left.size} were not: ${missing}`,
        );
      }
      // The files stay hidden until all are whole; then they appear one after the other, the index last.
      for (const shard of this.#shards) await (await this.#writerOf(shard)).finish(metadata);
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

  async abort(): Promise<void> {
    for (const started of this.#writers.values()) {
      const writer = await started.catch(() => undefined);
      await writer?.abort();
    }
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
