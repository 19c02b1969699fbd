import { bitsOf, bytesOf, type TensorArray, viewAs } from '../dtype/dtype.ts';
import { type ByteSink, memorySink } from '../sink/byte-sink.ts';
import type { TensorSpec, TensorWriter } from '../writer.ts';
import { type Layout, layOut } from './layout.ts';
import { SafetensorsError } from './safetensors-error.ts';

/** Text stored beside the tensors. */
export interface WriteOptions {
  metadata?: Readonly<Record<string, string>>;
}

/** A tensor to be written: its elements, or a function that makes them when their turn comes. */
export interface TensorToWrite extends TensorSpec {
  readonly data: TensorArray | (() => TensorArray | Promise<TensorArray>);
}

/** Tensors or specs by name: a plain object or a Map. */
export type Named<T> = Readonly<Record<string, T>> | ReadonlyMap<string, T>;

/** The entries of either kind. */
export function entriesOf<T>(named: Named<T>): [string, T][] {
  return named instanceof Map ? [...named] : Object.entries(named);
}

/** Checks an array against its tensor's spec. @throws SafetensorsError `InvalidTensorView` */
export function checkedBytes(name: string, spec: TensorSpec, byteLength: number, data: TensorArray): Uint8Array {
  const wanted = viewAs(spec.dtype, new Uint8Array(0));
  const kindFits = data instanceof Uint8Array || data.constructor === wanted.constructor;
  if (kindFits && data.byteLength === byteLength) return bytesOf(data);
  throw new SafetensorsError(
    'InvalidTensorView',
    `safetensors: "${name}", ${spec.dtype} [${spec.shape.join(', ')}], takes a ${wanted.constructor.name} of ` +
      `${byteLength} bytes; got a ${data.constructor.name} of ${data.byteLength}; fromFloat32 converts`,
  );
}

type Metadata = Readonly<Record<string, string>>;

class SafetensorsWriter implements TensorWriter {
  readonly specs: ReadonlyMap<string, TensorSpec>;
  readonly names: readonly string[];
  readonly #sink: ByteSink;
  readonly #layout: Layout;
  readonly #metadata: Metadata;
  readonly #left: Set<string>;
  /** Bytes written of the tensors that come in parts. */
  readonly #partial = new Map<string, number>();
  #over = false;

  constructor(sink: ByteSink, specs: ReadonlyMap<string, TensorSpec>, layout: Layout, metadata: Metadata) {
    this.specs = specs;
    this.names = layout.names;
    this.#sink = sink;
    this.#layout = layout;
    this.#metadata = metadata;
    this.#left = new Set(layout.names);
  }

  get isComplete(): boolean {
    return this.#left.size === 0;
  }

  /** A tensor that is not written yet. */
  #placeOf(name: string): { spec: TensorSpec; position: number; byteLength: number } {
    const spec = this.specs.get(name);
    const place = this.#layout.places.get(name);
    if (!this.#over && spec !== undefined && place !== undefined && this.#left.has(name)) return { spec, ...place };
    const got = this.#over ? 'the writer is over' : spec === undefined ? 'no such name' : 'it was written';
    throw new SafetensorsError(
      'InvalidName',
      `${this.#sink.name}: each announced tensor is written once; got "${name}": ${got}`,
    );
  }

  async write(name: string, data: TensorArray): Promise<void> {
    const { spec, position, byteLength } = this.#placeOf(name);
    if (this.#partial.has(name)) this.#refusePart(name, 'a tensor that comes in parts ends in parts', 'all of it');
    const bytes = checkedBytes(name, spec, byteLength, data);
    this.#left.delete(name);
    await this.#sink.writeAt(position, bytes);
  }

  async writePart(name: string, start: number, data: TensorArray): Promise<void> {
    const { spec, position, byteLength } = this.#placeOf(name);
    const from = (start * bitsOf(spec.dtype)) / 8;
    const done = this.#partial.get(name) ?? 0;
    const end = from + data.byteLength;
    if (from !== done || end > byteLength) {
      const rule = `parts follow each other up to ${byteLength} bytes`;
      this.#refusePart(name, rule, `bytes ${from} to ${end} where ${done} is next`);
    }
    const bytes = checkedBytes(name, spec, data.byteLength, data);
    this.#partial.set(name, end);
    if (end === byteLength) this.#left.delete(name);
    await this.#sink.writeAt(position + from, bytes);
  }

  #refusePart(name: string, rule: string, got: string): never {
    throw new SafetensorsError('InvalidPart', `${this.#sink.name}: "${name}": ${rule}; got ${got}`);
  }

  /** The header with other texts of the same length. */
  #headerWith(metadata: Metadata): Uint8Array {
    const unknown = Object.keys(metadata).find((key) => this.#metadata[key] === undefined);
    const { header } = layOut(this.specs, { ...this.#metadata, ...metadata });
    if (unknown === undefined && header.byteLength === this.#layout.header.byteLength) return header;
    const got = unknown === undefined ? `a header of ${header.byteLength} bytes` : `"${unknown}", which is new`;
    throw new SafetensorsError(
      'InvalidHeaderLength',
      `${this.#sink.name}: texts given at the end are as long as those at the start; got ${got} for one of ` +
        `${this.#layout.header.byteLength}; start with a text of the same length`,
    );
  }

  async finish(metadata?: Metadata): Promise<void> {
    if (this.#over) return;
    if (this.#left.size > 0) {
      const missing = [...this.#left].slice(0, 5).join(', ');
      await this.abort();
      throw new SafetensorsError(
        'NotWritten',
        `${this.#sink.name}: every announced tensor is written; ${this.#left.size} were not: ${missing}`,
      );
    }
    if (metadata !== undefined) {
      try {
        await this.#sink.writeAt(0, this.#headerWith(metadata));
      } catch (error) {
        await this.abort();
        throw error;
      }
    }
    this.#over = true;
    await this.#sink.commit();
  }

  async abort(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#sink.abort();
  }
}

/** Starts a safetensors file: the header is written at once, tensors follow one at a time.
 * @throws SafetensorsError when a name, a spec or the metadata cannot be written */
export async function startSafetensors(
  sink: ByteSink,
  specs: Named<TensorSpec>,
  { metadata = {} }: WriteOptions = {},
): Promise<TensorWriter> {
  try {
    const map = new Map(entriesOf(specs).map(([name, { dtype, shape }]) => [name, { dtype, shape: [...shape] }]));
    const layout = layOut(map, metadata);
    await sink.writeAt(0, layout.header);
    return new SafetensorsWriter(sink, map, layout, metadata);
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Writes every tensor through a writer and finishes it; gives up, leaving nothing, when one fails. */
export async function writeAll(writer: TensorWriter, tensors: Named<TensorToWrite>): Promise<void> {
  const byName = new Map(entriesOf(tensors));
  try {
    for (const name of writer.names) {
      const { data } = byName.get(name)!;
      await writer.write(name, typeof data === 'function' ? await data() : data);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}

/** Writes tensors as one safetensors file, in memory one at a time where `data` is a function. */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: Named<TensorToWrite>,
  options: WriteOptions = {},
): Promise<void> {
  await writeAll(await startSafetensors(sink, tensors, options), tensors);
}

/** The bytes of a safetensors file. */
export async function encodeSafetensors(
  tensors: Named<TensorToWrite>,
  options: WriteOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  await writeSafetensors(sink, tensors, options);
  return sink.bytes();
}
