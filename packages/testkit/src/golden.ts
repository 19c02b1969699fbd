import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';

const goldenFolder = join(dirname(fileURLToPath(import.meta.url)), '../../../test-fixtures/golden');

type Array32 = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

export interface GoldenTensor {
  readonly shape: number[];
  readonly dtype: 'float32' | 'int32';
  readonly values: Array32;
}

/** One golden case: what the Python library computed, from test-fixtures/golden. */
export interface Golden {
  /** The configuration that the make script stored. */
  // biome-ignore lint/suspicious/noExplicitAny: each case stores its own kind of configuration
  readonly config: any;
  /** The names under a prefix such as `w/`, without it. */
  names(prefix?: string): string[];
  has(name: string): boolean;
  raw(name: string): GoldenTensor;
  /** A new tensor with the stored shape; the caller disposes of it. */
  tensor(name: string): Tensor;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

function readValues(bytes: Uint8Array<ArrayBuffer>, dtype: string): { dtype: 'float32' | 'int32'; values: Array32 } {
  const copy = bytes.slice().buffer;
  if (dtype === 'F32') return { dtype: 'float32', values: new Float32Array(copy) };
  if (dtype === 'I32') return { dtype: 'int32', values: new Int32Array(copy) };
  if (dtype === 'I64') return { dtype: 'int32', values: Int32Array.from(new BigInt64Array(copy), Number) };
  if (dtype === 'U8') return { dtype: 'int32', values: Int32Array.from(bytes) };
  throw new Error(`golden: fixtures hold F32, I32, I64 or U8; got ${dtype}; convert it in the make script`);
}

/** Reads test-fixtures/golden/<name>.safetensors. It has its own small reader, so that @rass/weights is not
 * tested against itself. @throws when the case is missing */
export function loadGolden(name: string): Golden {
  const path = join(goldenFolder, `${name}.safetensors`);
  if (!existsSync(path)) throw new Error(`golden: no case "${name}"; make it with: pnpm golden ${name.split('/')[0]}`);
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength)) as Record<string, Entry> & {
    __metadata__?: Record<string, string>;
  };
  const entry = (key: string): Entry => {
    if (!(key in header))
      throw new Error(`golden: case "${name}" has no "${key}"; it has ${Object.keys(header).join(', ')}`);
    return header[key];
  };
  const raw = (key: string): GoldenTensor => {
    const { dtype, shape, data_offsets } = entry(key);
    const start = 8 + headerLength;
    const bytes = new Uint8Array(file.subarray(start + data_offsets[0], start + data_offsets[1]));
    return { shape, ...readValues(bytes, dtype) };
  };
  return {
    config: JSON.parse(header.__metadata__?.config ?? '{}'),
    names: (prefix = '') =>
      Object.keys(header)
        .filter((key) => key !== '__metadata__' && key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
    has: (key) => key in header,
    raw,
    tensor: (key) => {
      const { shape, dtype, values } = raw(key);
      return tensor(values, shape, dtype);
    },
  };
}
