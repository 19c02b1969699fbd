import type { Dtype, TensorArray } from './dtype/dtype.ts';

/** A tensor's type and shape, known before its elements are. */
export interface TensorSpec {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** Tensors that go to disk one at a time. */
export interface TensorWriter {
  readonly specs: ReadonlyMap<string, TensorSpec>;
  /** Every name, in the order of the file: writing in this order writes forwards. Any order is allowed. */
  readonly names: readonly string[];
  /** Whether every tensor has been written. */
  readonly isComplete: boolean;
  /** Writes one tensor, once: an array of its type, or its bytes. @throws when it does not fit its spec */
  write(name: string, data: TensorArray): Promise<void>;
  /** Writes a part of a tensor: elements from number `start` on. The parts of one tensor follow each other.
   * @throws when a part leaves a hole, or does not fit its spec */
  writePart(name: string, start: number, data: TensorArray): Promise<void>;
  /** Makes the file visible. `metadata` takes the place of texts that were given at the start, and is as long as they were.
   * @throws when a tensor was not written, or a text is longer; then nothing is left behind */
  finish(metadata?: Readonly<Record<string, string>>): Promise<void>;
  /** Gives up and leaves nothing behind. */
  abort(): Promise<void>;
}
