import { concat, reshape, type Tensor, type Tensor3D, tensor, tidy, tile } from '@tensorflow/tfjs-core';

const TEMPERATURE = 10000;
/** Against a division by zero, as upstream; it is part of the numbers. */
const EPSILON = 1e-6;

/** The sines and cosines of the positions along one side, sine first. @shape [length, channels] */
function sideEmbedding(length: number, channels: number): Float32Array {
  const values = new Float32Array(length * channels);
  for (let position = 0; position < length; position++) {
    const angle = ((position + 1) / (length + EPSILON)) * 2 * Math.PI;
    for (let c = 0; c < channels; c += 2) {
      const turned = angle / TEMPERATURE ** (c / channels);
      values[position * channels + c] = Math.sin(turned);
      values[position * channels + c + 1] = Math.cos(turned);
    }
  }
  return values;
}

/** The sine position embedding of a map: half of the channels tell the row, half the column, in parts of the map's sides.
 * @shape [1, H W, C], C divisible by 4 @source DETR, arXiv 2005.12872; transformers Mask2FormerSinePositionEmbedding */
export function sinePositionEmbedding(rows: number, columns: number, channels: number): Tensor3D {
  if (channels % 4 !== 0 || channels <= 0) {
    throw new Error(`sinePositionEmbedding: channels divide by 4; got ${channels}; half are of rows, half of columns`);
  }
  const half = channels / 2;
  return tidy(() => {
    // Made on the host: some WebGPU adapters' sine is off by 2e-4.
    const ofRows: Tensor = tile(tensor(sideEmbedding(rows, half), [rows, 1, half]), [1, columns, 1]);
    const ofColumns: Tensor = tile(tensor(sideEmbedding(columns, half), [1, columns, half]), [rows, 1, 1]);
    return reshape(concat([ofRows, ofColumns], 2), [1, rows * columns, channels]);
  });
}
