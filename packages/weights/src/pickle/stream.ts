import type { ByteSource } from '../source/byte-source.ts';
import { PickleError } from './pickle-error.ts';
import { LazyBytes } from './values.ts';

const WINDOW_BYTES = 1 << 20;
/** Longer payloads stay in the source until they are wanted. */
const LAZY_BYTES = 1 << 16;
const MAX_LINE_BYTES = 1 << 20;
/** No opcode has a longer fixed part than this. */
const FIXED_BYTES = 16;

/** A forward reader of a source that holds a window of it, so that a pickle of any size takes little memory. */
export class PickleStream {
  readonly #source: ByteSource;
  readonly #signal: AbortSignal | undefined;
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #start = 0;
  #at = 0;

  constructor(source: ByteSource, position = 0, signal?: AbortSignal) {
    this.#source = source;
    this.#start = position;
    this.#signal = signal;
  }

  get name(): string {
    return this.#source.name;
  }

  /** Where the next byte lies in the source. */
  get position(): number {
    return this.#start + this.#at;
  }

  get size(): number {
    return this.#source.size;
  }

  truncated(): never {
    throw new PickleError(
      'Truncated',
      `${this.name}: a pickle ends with its stop mark; got the end of the file at byte ${this.size}; it may be cut off`,
    );
  }

  async #fill(bytes: number): Promise<void> {
    const position = this.position;
    const end = Math.min(this.size, position + Math.max(bytes, WINDOW_BYTES));
    if (end === position) this.truncated();
    this.#window = await this.#source.read(position, end, this.#signal);
    this.#view = new DataView(this.#window.buffer, this.#window.byteOffset);
    this.#start = position;
    this.#at = 0;
  }

  /** Sees to it that the next opcode and its fixed part are in the window. A promise only where it must read. */
  prepare(): Promise<void> | undefined {
    if (this.#at + FIXED_BYTES <= this.#window.byteLength) return undefined;
    if (this.#start + this.#window.byteLength === this.size && this.#at < this.#window.byteLength) return undefined;
    return this.#fill(FIXED_BYTES);
  }

  #move(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#window.byteLength) this.truncated();
    this.#at = at + bytes;
    return at;
  }

  uint8(): number {
    return this.#window[this.#move(1)];
  }

  uint16(): number {
    return this.#view.getUint16(this.#move(2), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#move(4), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#move(4), true);
  }

  /** A length of 8 bytes. @throws PickleError when the file cannot hold so much */
  uint64(): number {
    const value = this.#view.getBigUint64(this.#move(8), true);
    if (value > BigInt(this.size)) this.truncated();
    return Number(value);
  }

  /** A big-endian double. */
  float64(): number {
    return this.#view.getFloat64(this.#move(8), false);
  }

  /** The next bytes, all of them. */
  async bytes(length: number): Promise<Uint8Array> {
    if (length > this.size - this.position) this.truncated();
    if (this.#at + length > this.#window.byteLength) await this.#fill(length);
    const at = this.#move(length);
    return this.#window.slice(at, at + length);
  }

  /** The next bytes, or, when they are many, where they lie. */
  payload(length: number, encoding: 'raw' | 'utf8'): Promise<Uint8Array> | LazyBytes {
    if (length <= LAZY_BYTES) return this.bytes(length);
    const start = this.position;
    if (length > this.size - start) this.truncated();
    this.#start = start + length;
    this.#at = 0;
    this.#window = new Uint8Array(0);
    this.#view = new DataView(this.#window.buffer);
    return new LazyBytes(start, start + length, encoding);
  }

  /** The bytes up to the next line feed, which is passed over. */
  async line(): Promise<Uint8Array> {
    for (;;) {
      const end = this.#window.indexOf(0x0a, this.#at);
      if (end >= 0) {
        const line = this.#window.slice(this.#at, end);
        this.#at = end + 1;
        return line;
      }
      const held = this.#window.byteLength - this.#at;
      if (this.position + held >= this.size) this.truncated();
      if (held >= MAX_LINE_BYTES) {
        throw new PickleError('TooLarge', `${this.name}: a line of a pickle has at most ${MAX_LINE_BYTES} bytes`);
      }
      await this.#fill(2 * Math.max(held, WINDOW_BYTES));
    }
  }
}
