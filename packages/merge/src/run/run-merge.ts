import { byteLengthOf, fromFloat32, type TensorSpec, type TensorWriter } from '@rass/weights';
import { isFloat } from '../plan/checkpoint-node.ts';
import type { MergePlan } from '../plan/merge-plan.ts';
import { type Range, type ReadContext, sizeOf } from '../plan/node.ts';
import { SLICE_VALUES } from '../plan/plan.ts';
import { BufferPool } from './buffer-pool.ts';
import { checkEncoded } from './encoded.ts';

/** Where a merge is. */
export interface MergeProgress {
  /** The tensor that was written last. */
  readonly key: string;
  /** Bytes of tensors written, and of all. */
  readonly written: number;
  readonly total: number;
}

export interface RunOptions {
  onProgress?: (progress: MergeProgress) => void;
  signal?: AbortSignal;
  /** Tensors that may hold infinities and NaNs, by name or pattern. */
  allowNonFinite?: readonly (string | RegExp)[];
}

/** One step: a tensor, or a slice of one. */
interface Piece extends Range {
  readonly key: string;
  readonly spec: TensorSpec;
}

/** A piece on its way to the file. */
interface Done {
  readonly piece: Piece;
  readonly write: (writer: TensorWriter) => Promise<void>;
}

/** Pieces that are read and computed ahead of the one that is written. */
const AHEAD = 2;

function* piecesOf({ output, specs }: MergePlan): Generator<Piece> {
  for (const [key, spec] of specs) {
    const size = sizeOf(spec.shape);
    const step = output.isSliced(key) ? SLICE_VALUES : Math.max(1, size);
    for (let start = 0; start < Math.max(1, size); start += step) {
      yield { key, spec, start, count: Math.min(step, size - start) };
    }
  }
}

async function compute({ output }: MergePlan, piece: Piece, context: ReadContext): Promise<Done> {
  const { key, spec, start } = piece;
  if (!isFloat(spec.dtype)) {
    const { data } = await output.readRaw(key, context);
    return { piece, write: (writer) => writer.write(key, data) };
  }
  const values = await output.read(key, piece, context);
  const data = fromFloat32(values, spec.dtype);
  if (!context.mayBeNonFinite(key)) checkEncoded(key, spec.dtype, data, start);
  if (spec.dtype !== 'F32') context.pool.give(values);
  return {
    piece,
    async write(writer) {
      await writer.writePart(key, start, data);
      if (spec.dtype === 'F32') context.pool.give(values);
    },
  };
}

const isNamed = (key: string, names: readonly (string | RegExp)[]): boolean =>
  names.some((name) => (typeof name === 'string' ? name === key : key.search(name) >= 0));

/** Puts as many pieces on the way as are to be ahead. */
function advance(queue: Promise<Done>[], pieces: Iterator<Piece>, start: (piece: Piece) => Promise<Done>): void {
  while (queue.length < AHEAD) {
    const { value, done } = pieces.next();
    if (done) return;
    const promise = start(value);
    // It is awaited when its turn comes, if it ever does.
    promise.catch(() => {});
    queue.push(promise);
  }
}

/** Merges tensor by tensor into a writer that was started with the plan's specs: what comes next is read and computed while the last
 * is written. The writer is left for the caller to finish or, where this throws, to abort.
 * @throws when a weight is not finite or does not fit its type, or with the signal's reason */
export async function runMerge(plan: MergePlan, writer: TensorWriter, options: RunOptions = {}): Promise<void> {
  const { onProgress, signal, allowNonFinite = [] } = options;
  const mayBeNonFinite = (key: string): boolean => isNamed(key, allowNonFinite);
  const context: ReadContext = { pool: new BufferPool(), signal, mayBeNonFinite };
  const pieces = piecesOf(plan);
  const queue: Promise<Done>[] = [];
  const next = () => advance(queue, pieces, (piece) => compute(plan, piece, context));
  let writing: Promise<void> = Promise.resolve();
  let written = 0;
  try {
    for (next(); queue.length > 0; ) {
      signal?.throwIfAborted();
      const { piece, write } = await (queue.shift() as Promise<Done>);
      next();
      await writing;
      writing = write(writer);
      writing.catch(() => {});
      written += byteLengthOf(piece.spec.dtype, isFloat(piece.spec.dtype) ? [piece.count] : piece.spec.shape);
      onProgress?.({ key: piece.key, written, total: plan.bytesWritten });
    }
    await writing;
  } catch (error) {
    // Nothing reads or writes any more when the caller closes the files.
    await Promise.allSettled([...queue, writing]);
    throw error;
  }
}
