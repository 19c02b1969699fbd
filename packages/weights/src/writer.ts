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
  /** Makes the file visible. @throws when a tensor was not written; then nothing is left behind */
  finish(): Promise<void>;
  /** Gives up and leaves nothing behind. */
  abort(): Promise<void>;
}
