import { printable } from '@rass/nn';
import type { Checkpoint } from './checkpoint.ts';
import { byteLengthOf, type Dtype, elementCount } from './dtype/dtype.ts';

/** What a checkpoint holds, without reading a tensor. */
export interface CheckpointDescription {
  readonly name: string;
  readonly format: string;
  readonly tensors: number;
  /** Numbers in all tensors. */
  readonly parameters: number;
  readonly bytes: number;
  /** Tensors and bytes of each type. */
  readonly dtypes: Readonly<Partial<Record<Dtype, { tensors: number; bytes: number }>>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensors and parameters below each first step of the keys, the largest first. */
  readonly groups: readonly { prefix: string; tensors: number; parameters: number }[];
  /** A table to be printed. */
  toString(): string;
}

function withUnit(count: number, units: readonly string[], step: number): string {
  let value = count;
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)}${units[unit]}`;
}

const bytesText = (bytes: number): string => withUnit(bytes, [' B', ' KiB', ' MiB', ' GiB', ' TiB'], 1024);
const countText = (count: number): string => withUnit(count, ['', ' K', ' M', ' B'], 1000);

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => rows.reduce((most, row) => Math.max(most, row[column].length), 0));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  '),
  );
}

const shortened = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}...` : text);

function print(d: Omit<CheckpointDescription, 'toString'>): string {
  const dtypes = Object.entries(d.dtypes).map(([dtype, { tensors, bytes }]) => [dtype, `${tensors}`, bytesText(bytes)]);
  const groups = d.groups.map(({ prefix, tensors, parameters }) => [
    printable(shortened(prefix)),
    `${tensors}`,
    countText(parameters),
  ]);
  const metadata = Object.entries(d.metadata).map(
    ([key, text]) => `  ${printable(shortened(key))}: ${printable(shortened(text))}`,
  );
  const sum = `${d.tensors} tensors, ${countText(d.parameters)} parameters, ${bytesText(d.bytes)}`;
  return [
    `${printable(d.name)}: ${d.format}, ${sum}`,
    ...(dtypes.length > 0 ? table([['type', 'tensors', 'size'], ...dtypes]) : []),
    ...(groups.length > 0 ? ['', ...table([['part', 'tensors', 'parameters'], ...groups])] : []),
    ...(metadata.length > 0 ? ['', 'metadata', ...metadata] : []),
  ].join('\n');
}

/** Counts a checkpoint's tensors, parameters and bytes, by type and by part. Prints as a table. */
export function describeCheckpoint(checkpoint: Checkpoint): CheckpointDescription {
  const dtypes: Partial<Record<Dtype, { tensors: number; bytes: number }>> = {};
  const groups = new Map<string, { prefix: string; tensors: number; parameters: number }>();
  let parameters = 0;
  let bytes = 0;
  const keys = checkpoint.keys();
  for (const key of keys) {
    const { dtype, shape } = checkpoint.info(key);
    const count = elementCount(shape);
    const size = checkpoint.storedBytes?.(key) ?? byteLengthOf(dtype, shape);
    parameters += count;
    bytes += size;
    const type = dtypes[dtype] ?? { tensors: 0, bytes: 0 };
    dtypes[dtype] = { tensors: type.tensors + 1, bytes: type.bytes + size };
    const prefix = key.split('.', 1)[0];
    const group = groups.get(prefix) ?? { prefix, tensors: 0, parameters: 0 };
    groups.set(prefix, group);
    group.tensors++;
    group.parameters += count;
  }
  const description = {
    name: checkpoint.name,
    format: checkpoint.format,
    tensors: keys.length,
    parameters,
    bytes,
    dtypes,
    metadata: checkpoint.metadata,
    groups: [...groups.values()].sort((a, b) => b.parameters - a.parameters),
  };
  return { ...description, toString: () => print(description) };
}
