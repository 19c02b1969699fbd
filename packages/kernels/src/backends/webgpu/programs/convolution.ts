import { backend_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { type Call, deviceOf, each, runProgram } from './program.ts';
import { addRowsOfWeights, closeTile, openTile, tileFor, WORKGROUP, workgroupsOf } from './tiles.ts';
import { weightReader } from './weights.ts';

/** How a convolution goes over an image, in the words of TensorFlow.js's kernels. */
export interface Geometry {
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same' | number;
  readonly dilations: number | [number, number];
}

interface Convolution {
  /** [B, H, W, I] */
  readonly x: TensorInfo;
  /** [Kh, Kw, I, O] */
  readonly weight: TensorInfo;
  /** [O] */
  readonly bias?: TensorInfo;
}

/** Whether the program can compute it: it reads and writes vectors of four channels. */
export function canConvolve({ weight }: Convolution): boolean {
  return weight.shape[2]! % 4 === 0 && weight.shape[3]! % 4 === 0;
}

/** The product of each pixel's surroundings, which are read where they lie, with the weights. @shape [B, H', W', O] */
export function convolve(backend: Call['backend'], { x, weight, bias }: Convolution, geometry: Geometry): TensorInfo {
  const info = backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    weight.shape as [number, number, number, number],
    geometry.strides,
    geometry.dilations,
    geometry.pad,
  );
  const rows = info.outHeight * info.outWidth;
  const columns = info.outChannels / 4;
  const tile = tileFor({ images: info.batchSize, rows, columns }, deviceOf(backend));
  const places = info.filterHeight * info.filterWidth;
  const reader = weightReader(weight, backend.packedOf(weight), {
    columns,
    fits: ({ layout }, shape) => layout === 'hwio' && util.arraysEqual([...shape], weight.shape),
  });
  const terms = {
    x: (i: number): string => `select(vec4<f32>(0.0), x[base${i} + k], inside${i})`,
    weights: 'tap + 4 * k * uniforms.columns',
    reader,
  };
  const ofRows = (line: (i: number) => string): string => each(tile.rows, line);
  const { strideHeight, strideWidth, dilationHeight, dilationWidth, filterHeight, filterWidth } = info;
  const main = `${openTile(tile)}
  ${ofRows(
    (i) => `
  let top${i} = (row${i} / uniforms.outWidth) * ${strideHeight} - uniforms.padTop;
  let left${i} = (row${i} % uniforms.outWidth) * ${strideWidth} - uniforms.padLeft;`,
  )}
  let extent = vec2<u32>(vec2<i32>(uniforms.height, uniforms.width));
  for (var line = 0; line < ${filterHeight}; line++) {
    for (var place = 0; place < ${filterWidth}; place++) {
      let tap = (line * ${filterWidth} + place) * 4 * uniforms.inner * uniforms.columns;
      ${ofRows(
        (i) => `
      let down${i} = top${i} + line * ${dilationHeight};
      let across${i} = left${i} + place * ${dilationWidth};
      let inside${i} = all(vec2<u32>(vec2<i32>(down${i}, across${i})) < extent);
      let base${i} = select(0, ((image * uniforms.height + down${i}) * uniforms.width + across${i}) * uniforms.inner, inside${i});`,
      )}
      for (var k = 0; k < uniforms.inner; k++) {
        ${addRowsOfWeights(tile, terms, (k) => `(4 * k + ${k}) * ${places} + line * ${filterWidth} + place`)}
      }
    }
  }
  ${closeTile(tile, bias !== undefined)}`;
  return runProgram(
    { inputs: { x, weight: reader.input, ...(bias && { bias }) }, backend },
    {
      key: `convolution_${tile.rows}x${tile.vectors}_${filterHeight}x${filterWidth}_${strideHeight}x${strideWidth}_${dilationHeight}x${dilationWidth}${reader.key}`,
      declarations: reader.declarations,
      inputs: { x: 4, weight: reader.components, ...(bias && { bias: 4 }) },
      shape: info.outShape,
      output: 4,
      workgroup: WORKGROUP,
      groups: workgroupsOf({ images: info.batchSize, rows, columns }, tile),
      numbers: {
        rows,
        columns,
        inner: info.inChannels / 4,
        height: info.inHeight,
        width: info.inWidth,
        outWidth: info.outWidth,
        padTop: info.padInfo.top,
        padLeft: info.padInfo.left,
        ...reader.numbers,
      },
      main,
    },
  );
}
