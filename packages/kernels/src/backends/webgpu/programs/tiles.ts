import { type Device, each } from './program.ts';
import type { WeightReader } from './weights.ts';

/** How many results a thread of a product computes: rows, and vectors of four columns. */
export interface Tile {
  readonly rows: number;
  readonly vectors: number;
}

/** The sizes of what `images` products give, with columns in vectors of four. */
export interface ProductSizes {
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
}

/** Threads along the columns and the rows of a workgroup. */
const [WIDTH, HEIGHT] = [8, 8];

/** From the one that reads least for each multiplication to those that give a small product enough threads. */
const TILES: readonly Tile[] = [
  { rows: 8, vectors: 2 },
  { rows: 4, vectors: 2 },
  { rows: 4, vectors: 1 },
  { rows: 2, vectors: 1 },
  { rows: 1, vectors: 1 },
];

/** Fewer leave a GPU's processors, or a CPU's cores, idle. */
const LEAST_WORKGROUPS = { hardware: 64, software: 8 } as const;

export const WORKGROUP: readonly [number, number, number] = [WIDTH, HEIGHT, 1];

export function workgroupsOf({ images, rows, columns }: ProductSizes, tile: Tile): [number, number, number] {
  return [Math.ceil(columns / (WIDTH * tile.vectors)), Math.ceil(rows / (HEIGHT * tile.rows)), images];
}

/** The largest tile with which the product still has workgroups for the whole device. */
export function tileFor(sizes: ProductSizes, device: Device): Tile {
  const isEnough = (tile: Tile): boolean =>
    workgroupsOf(sizes, tile).reduce((a, b) => a * b) >= LEAST_WORKGROUPS[device];
  return TILES.find(isEnough) ?? TILES[TILES.length - 1]!;
}

/** Names the thread's rows and columns, and a sum for each. Its rows lie next to each other, its vectors as far apart as the
 * workgroup is wide: neighbours read neighbouring weights. What is past the end is computed as the last one is, and not written. */
export function openTile({ rows, vectors }: Tile): string {
  return `
  let firstColumn = i32(workgroupId.x) * ${WIDTH * vectors} + i32(localId.x);
  let firstRow = (i32(workgroupId.y) * ${HEIGHT} + i32(localId.y)) * ${rows};
  let image = i32(workgroupId.z);
  let lastColumn = uniforms.columns - 1;
  let lastRow = uniforms.rows - 1;
  if (firstColumn > lastColumn || firstRow > lastRow) { return; }
  ${each(rows, (i) => `let row${i} = min(firstRow + ${i}, lastRow);`)}
  ${each(vectors, (c) => `let column${c} = min(firstColumn + ${c * WIDTH}, lastColumn);`)}
  ${each(rows, (i) => each(vectors, (c) => `var sum${i}_${c} = vec4<f32>(0.0);`))}`;
}

/** What a product adds up. */
interface Terms {
  /** The vector of a row's four values. */
  readonly x: (row: number) => string;
  /** The place of the first one's weights. */
  readonly weights: string;
  readonly reader: Pick<WeightReader, 'at'>;
}

/** Adds what four inner values give. The weights of an inner value lie next to each other. @param row the number of the k-th inner value of a group */
export function addRowsOfWeights(
  { rows, vectors }: Tile,
  { x, weights, reader }: Terms,
  row: (k: number) => string,
): string {
  const column = (c: number): string => `
    ${each(4, (k) => `let w${k}_${c} = ${reader.at(`at + ${k} * uniforms.columns + column${c}`, row(k), `column${c}`)};`)}
    ${each(rows, (i) => `sum${i}_${c} += x${i}.x * w0_${c} + x${i}.y * w1_${c} + x${i}.z * w2_${c} + x${i}.w * w3_${c};`)}`;
  return `
    let at = ${weights};
    ${each(rows, (i) => `let x${i} = ${x(i)};`)}
    ${each(vectors, column)}`;
}

/** The same, where the weights of an output lie next to each other: `weights` is the place of the first output's vector. @param inner the number of
 * that vector in its output's */
export function addColumnsOfWeights({ rows, vectors }: Tile, { x, weights, reader }: Terms, inner: string): string {
  const output = (c: number, n: number): string => `4 * column${c} + ${n}`;
  const column = (c: number): string => `
    ${each(4, (n) => `let w${n}_${c} = ${reader.at(`at + (${output(c, n)}) * uniforms.inner`, output(c, n), inner)};`)}
    ${each(rows, (i) => `sum${i}_${c} += vec4<f32>(dot(x${i}, w0_${c}), dot(x${i}, w1_${c}), dot(x${i}, w2_${c}), dot(x${i}, w3_${c}));`)}`;
  return `
    let at = ${weights};
    ${each(rows, (i) => `let x${i} = ${x(i)};`)}
    ${each(vectors, column)}`;
}

/** Writes the sums, with the bias. */
export function closeTile({ rows, vectors }: Tile, hasBias: boolean): string {
  const place = (i: number, c: number): string => `(image * uniforms.rows + row${i}) * uniforms.columns + column${c}`;
  const value = (i: number, c: number): string => (hasBias ? `sum${i}_${c} + bias[column${c}]` : `sum${i}_${c}`);
  const column = (c: number): string => `
  if (firstColumn + ${c * WIDTH} <= lastColumn) {
    ${each(rows, (i) => `if (firstRow + ${i} <= lastRow) { result[${place(i, c)}] = ${value(i, c)}; }`)}
  }`;
  return each(vectors, column);
}
