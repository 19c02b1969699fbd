import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { Packed } from '../packed/packed.ts';
import { type Call, runFlat } from './program.ts';
import { weightReader } from './weights.ts';

/** Whether rows of a packed table can be expanded without the others. */
export const canPickRows = ({ format, shape }: Packed): boolean =>
  shape.length === 2 && (format.kind === 'half' || format.layout === 'oi');

/** Rows of a packed table [V, C] by number; zeros for those outside it, as TensorFlow.js's kernel gives. @shape indices [...] -> [..., C] */
export function rowsOfTable(backend: Call['backend'], table: Packed, indices: TensorInfo): TensorInfo {
  const [count, width] = table.shape as [number, number];
  const columns = width / 4;
  const { at, input, components, ...reader } = weightReader(table.words, table, { columns, fits: () => true });
  const shape = [...indices.shape, width];
  return runFlat(
    { inputs: { weight: input, indices }, backend },
    {
      key: `rows${reader.key}`,
      declarations: reader.declarations,
      inputs: { weight: components, indices: 1 },
      shape,
      output: 4,
      threads: util.sizeFromShape(shape) / 4,
      numbers: { columns, count, ...reader.numbers },
      main: `
  let row = indices[index / uniforms.columns];
  let column = index % uniforms.columns;
  if (row < 0 || row >= uniforms.count) { result[index] = vec4<f32>(0.0); return; }
  result[index] = ${at('row * uniforms.columns + column', 'row', 'column')};`,
    },
  );
}
