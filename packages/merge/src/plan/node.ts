import type { TensorData, TensorInfo } from '@rass/weights';
import type { BufferPool } from '../run/buffer-pool.ts';

/** A part of a tensor: values from `start` on. */
export interface Range {
  readonly start: number;
  readonly count: number;
}

/** What reading needs besides the tensor's name. */
export interface ReadContext {
  readonly pool: BufferPool;
  readonly signal?: AbortSignal;
  /** Whether a tensor may hold infinities and NaNs. */
  readonly mayBeNonFinite: (key: string) => boolean;
}

/** Where tensors come from: a checkpoint, one with adapters folded in, or another stage. Nothing is computed or read before it is
 * asked for. */
export interface TensorNode {
  readonly name: string;
  readonly keys: readonly string[];
  has(key: string): boolean;
  info(key: string): TensorInfo;
  /** Whether parts of the tensor can be read by themselves. */
  isSliced(key: string): boolean;
  /** Values as float32, in an array of the pool's, which the caller gives back. The range is the whole tensor where it is not sliced. */
  read(key: string, range: Range, context: ReadContext): Promise<Float32Array<ArrayBuffer>>;
  /** A tensor that is no floating-point one, as it is stored. */
  readRaw(key: string, context: ReadContext): Promise<TensorData>;
  /** Bytes of the files that reading the tensor takes. */
  readBytes(key: string): number;
  /** Float32 values held at the same time to read so many of a tensor. */
  footprint(key: string, count: number): number;
}

/** How many values a shape has. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
