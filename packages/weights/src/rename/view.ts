import { type Checkpoint, type ReadOptions, type TensorInfo, tensorNotFound } from '../checkpoint.ts';
import { bitsOf, elementCount } from '../dtype/dtype.ts';
import { WeightsError } from '../error.ts';
import { type Renaming, renameKeys, type Unmatched } from './rules.ts';

/** Where a tensor of a view comes from. */
export interface ViewEntry {
  /** The key in the checkpoint below. */
  readonly key: string;
  /** Only these rows, [start, end) along the first axis: a part of a fused tensor. */
  readonly rows?: readonly [start: number, end: number];
  /** Another shape of the same elements: a 1 x 1 convolution as a linear layer. */
  readonly shape?: readonly number[];
}

function refuse(key: string, rule: string, got: string): never {
  throw new WeightsError('BadView', `view: "${key}": ${rule}; got ${got}`);
}

function viewedInfo(key: string, { rows, shape }: ViewEntry, below: TensorInfo): TensorInfo {
  const [count = 0, ...rest] = below.shape;
  const whole = shape ?? (rows === undefined ? below.shape : [rows[1] - rows[0], ...rest]);
  if (rows !== undefined && !(0 <= rows[0] && rows[0] <= rows[1] && rows[1] <= count)) {
    refuse(key, 'rows lie inside the tensor', `${rows.join(' to ')} of [${below.shape.join(', ')}]`);
  }
  if (rows !== undefined && bitsOf(below.dtype) % 8 !== 0) refuse(key, 'rows are cut of whole bytes', below.dtype);
  const elements = rows === undefined ? elementCount(below.shape) : (rows[1] - rows[0]) * elementCount(rest);
  if (elementCount(whole) !== elements) {
    refuse(key, 'a new shape has the same elements', `[${whole.join(', ')}] of [${below.shape.join(', ')}]`);
  }
  return { dtype: below.dtype, shape: whole };
}

/** A checkpoint of another one's tensors under other names, by rows or in other shapes. Nothing is copied; closing it
 * closes the one below. @throws WeightsError `TensorNotFound`, `BadView` */
export function viewCheckpoint(below: Checkpoint, entries: ReadonlyMap<string, ViewEntry>): Checkpoint {
  const infos = new Map([...entries].map(([key, entry]) => [key, viewedInfo(key, entry, below.info(entry.key))]));
  const infoOf = (key: string): TensorInfo => {
    const info = infos.get(key);
    if (info === undefined) throw tensorNotFound(below.name, key, infos.keys());
    return info;
  };
  return {
    name: below.name,
    format: below.format,
    metadata: below.metadata,
    keys: () => [...infos.keys()],
    has: (key) => infos.has(key),
    info: infoOf,
    async read(key, options) {
      const info = infoOf(key);
      const { key: source, rows } = entries.get(key)!;
      const { data, shape } = await below.read(source, options);
      if (rows === undefined) return { ...info, data };
      const perRow = data.length / shape[0];
      return { ...info, data: data.slice(rows[0] * perRow, rows[1] * perRow) };
    },
    ...(below.readQuantized && {
      async readQuantized(key: string, options?: ReadOptions) {
        infoOf(key);
        const { key: source, rows, shape } = entries.get(key)!;
        return rows === undefined && shape === undefined ? below.readQuantized!(source, options) : undefined;
      },
    }),
    close: () => below.close(),
  };
}

/** A checkpoint under other names. @throws WeightsError `Collision`, or `Unmatched` where that is refused */
export function renamedCheckpoint(below: Checkpoint, renaming: Renaming, unmatched: Unmatched = 'keep'): Checkpoint {
  const names = renameKeys(below.keys(), renaming, unmatched);
  return viewCheckpoint(below, new Map([...names].map(([key, source]) => [key, { key: source }])));
}

/** The tensors below a prefix, without it: `selectPrefix(checkpoint, 'unet.')`. */
export function selectPrefix(below: Checkpoint, prefix: string): Checkpoint {
  return renamedCheckpoint(below, [[{ prefix, to: '' }]], 'drop');
}
