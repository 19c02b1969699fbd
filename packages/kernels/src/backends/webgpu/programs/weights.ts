import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Packed, PackedFormat } from '../packed/packed.ts';
import type { Components, ProgramParts } from './program.ts';

/** How a program reads the vectors of its weight. */
export interface WeightReader {
  /** Takes the place of the weight among the program's inputs. */
  readonly input: TensorInfo;
  readonly components: Components;
  /** Part of the program's key. */
  readonly key: string;
  readonly declarations: string;
  readonly numbers: NonNullable<ProgramParts['numbers']>;
  /** Code for the vector at a place. A quantized one is expanded by its groups: of `oi` those of output `row`, of which the vector's first input is
   * 4 x `column`; of `hwio` those of the input's place `row`, counted as PyTorch does, for the outputs from 4 x `column` on. */
  at(place: string, row: string, column: string): string;
}

const HALF = `
fn weightAt(place : i32) -> vec4<f32> {
  let words = bitcast<vec2<u32>>(weight[place]);
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}`;

/** Codes of a vector, as numbers. */
const CODES = {
  8: `
fn codesAt(place : i32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(bitcast<u32>(weight[place])) >> vec4<u32>(0, 8, 16, 24)) & vec4<u32>(255));
}`,
  4: `
fn codesAt(place : i32) -> vec4<f32> {
  let codes = bitcast<u32>(weight[place >> 1]) >> (u32(place & 1) * 16);
  return vec4<f32>((vec4<u32>(codes) >> vec4<u32>(0, 4, 8, 12)) & vec4<u32>(15));
}`,
} as const;

const GROUP = `
fn groupAt(group : i32) -> vec2<f32> {
  return unpack2x16float(bitcast<u32>(weight[uniforms.firstGroup + group]));
}`;

const LAYOUTS = {
  oi: (groupSize: number): string => `
fn weightAt(place : i32, row : i32, column : i32) -> vec4<f32> {
  let group = groupAt(row * uniforms.rowGroups + column / ${groupSize / 4});
  return group.x * codesAt(place) + group.y;
}`,
  hwio: (groupSize: number): string => `
fn weightAt(place : i32, row : i32, column : i32) -> vec4<f32> {
  let first = 4 * ((row / ${groupSize}) * uniforms.weightColumns + column);
  let a = groupAt(first); let b = groupAt(first + 1); let c = groupAt(first + 2); let d = groupAt(first + 3);
  return vec4<f32>(a.x, b.x, c.x, d.x) * codesAt(place) + vec4<f32>(a.y, b.y, c.y, d.y);
}`,
} as const;

const PLAIN = { key: '', declarations: '', numbers: {} } as const;

function packedReader(format: PackedFormat, input: TensorInfo, columns: number): WeightReader {
  if (format.kind === 'half') {
    const at = (place: string): string => `weightAt(${place})`;
    return { ...PLAIN, input, components: 2, key: '_half', declarations: HALF, at };
  }
  const { bits, groupSize, layout, firstGroup, rowGroups } = format;
  return {
    input,
    components: 1,
    key: `_${bits}_${groupSize}_${layout}`,
    declarations: CODES[bits] + GROUP + LAYOUTS[layout](groupSize),
    numbers: { firstGroup, ...(layout === 'oi' ? { rowGroups } : { weightColumns: columns }) },
    at: (place, row, column) => `weightAt(${place}, ${row}, ${column})`,
  };
}

/** What of a packed weight a program needs for its sums, where its groups lie as the program goes over them. */
export type Fits = (format: PackedFormat & { kind: 'affine' }, shape: readonly number[]) => boolean;

/** How a program reads a weight: from its packed buffer where there is one that fits. The backend expands what does not.
 * @param columns vectors in a row of the weight */
export function weightReader(
  weight: TensorInfo,
  packed: Packed | undefined,
  { columns, fits }: { readonly columns: number; readonly fits: Fits },
): WeightReader {
  if (packed !== undefined && (packed.format.kind === 'half' || fits(packed.format, packed.shape))) {
    return packedReader(packed.format, packed.words, columns);
  }
  return { ...PLAIN, input: weight, components: 4, at: (place) => `weight[${place}]` };
}
