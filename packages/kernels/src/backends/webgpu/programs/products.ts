import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import { type Call, deviceOf, each, runProgram } from './program.ts';
import {
  addColumnsOfWeights,
  addRowsOfWeights,
  closeTile,
  openTile,
  tileFor,
  WORKGROUP,
  workgroupsOf,
} from './tiles.ts';
import { weightReader } from './weights.ts';

/** y = x W + bias for each of `images` matrices. */
export interface Product {
  /** [images, rows, inner] */
  readonly x: TensorInfo;
  /** [images or 1, inner, outputs], or [images or 1, outputs, inner] where it is transposed */
  readonly weight: TensorInfo;
  readonly transposed: boolean;
  /** [outputs] */
  readonly bias?: TensorInfo;
}

/** Whether the program can compute it: it reads and writes vectors of four. */
export function canMultiply({ weight }: Product): boolean {
  return weight.shape[1]! % 4 === 0 && weight.shape[2]! % 4 === 0;
}

/** @shape [images, rows, outputs] */
export function multiply(backend: Call['backend'], { x, weight, transposed, bias }: Product): TensorInfo {
  const [images, rows, length] = x.shape as [number, number, number];
  const outputs = weight.shape[transposed ? 1 : 2]!;
  const inner = length / 4;
  const columns = outputs / 4;
  const tile = tileFor({ images, rows, columns }, deviceOf(backend));
  const isShared = weight.shape[0] === 1;
  const reader = weightReader(weight, backend.packedOf(weight), {
    columns,
    fits: ({ layout }, shape) =>
      transposed
        ? layout === 'oi' && util.arraysEqual([...shape], [outputs, length])
        : layout === 'hwio' && util.arraysEqual([...shape], [1, 1, length, outputs]),
  });
  const start = isShared ? '0' : 'image * 4 * uniforms.inner * uniforms.columns';
  const terms = {
    x: (i: number): string => `x[base${i} + k]`,
    weights: transposed ? 'start + k' : 'start + 4 * k * uniforms.columns',
    reader,
  };
  const main = `${openTile(tile)}
  ${each(tile.rows, (i) => `let base${i} = (image * uniforms.rows + row${i}) * uniforms.inner;`)}
  let start = ${start};
  for (var k = 0; k < uniforms.inner; k++) {
    ${transposed ? addColumnsOfWeights(tile, terms, 'k') : addRowsOfWeights(tile, terms, (k) => `4 * k + ${k}`)}
  }
  ${closeTile(tile, bias !== undefined)}`;
  return runProgram(
    { inputs: { x, weight: reader.input, ...(bias && { bias }) }, backend },
    {
      key: `product_${tile.rows}x${tile.vectors}_${transposed}_${isShared}${reader.key}`,
      declarations: reader.declarations,
      inputs: { x: 4, weight: reader.components, ...(bias && { bias: 4 }) },
      shape: [images, rows, outputs],
      output: 4,
      workgroup: WORKGROUP,
      groups: workgroupsOf({ images, rows, columns }, tile),
      numbers: { rows, columns, inner, ...reader.numbers },
      main,
    },
  );
}
