import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { Packed } from '../packed/packed.ts';
import { type Call, runFlat } from './program.ts';
import { weightReader } from './weights.ts';

/** The values of a packed weight as float32. */
export function expand(backend: Call['backend'], packed: Packed): TensorInfo {
  const { shape, format, words } = packed;
  const columns = shape.at(-1)! / 4;
  const { at, input, components, ...reader } = weightReader(words, packed, { columns, fits: () => true });
  // A convolution's row is a place's input; groups go by inputs first.
  const isPlaces = format.kind === 'affine' && format.layout === 'hwio';
  const inputs = isPlaces ? shape[2]! : 1;
  const row = isPlaces ? `(row % uniforms.inputs) * ${format.places} + row / uniforms.inputs` : 'row';
  return runFlat(
    { inputs: { weight: input }, backend },
    {
      key: `expand${reader.key}${isPlaces ? format.places : ''}`,
      declarations: reader.declarations,
      inputs: { weight: components },
      shape,
      output: 4,
      threads: util.sizeFromShape([...shape]) / 4,
      numbers: { columns, inputs, ...reader.numbers },
      main: `
  let row = index / uniforms.columns;
  result[index] = ${at('index', row, 'index % uniforms.columns')};`,
    },
  );
}
