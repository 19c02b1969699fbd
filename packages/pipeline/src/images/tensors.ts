import type { RgbImage } from '@rass/images';
import { type Tensor4D, tensor4d } from '@tensorflow/tfjs-core';

/** Half of the range of a byte: images are in [-1, 1]. */
const HALF = 127.5;

/** Images of one size as a batch. @shape [B, H, W, 3] in [-1, 1] @throws when there is none, or the sizes differ */
export function imageBatch(images: readonly RgbImage[]): Tensor4D {
  const [first] = images;
  if (first === undefined) throw new Error('imageBatch: a batch has an image; got none; give one');
  const { width, height } = first;
  const other = images.find((each) => each.width !== width || each.height !== height);
  if (other !== undefined) {
    const sizes = `${width} x ${height} and ${other.width} x ${other.height}`;
    throw new Error(`imageBatch: the images of a batch have one size; got ${sizes}; cut them first`);
  }
  const size = 3 * width * height;
  const values = new Float32Array(images.length * size);
  images.forEach(({ data }, b) => {
    for (let i = 0; i < size; i++) values[b * size + i] = data[i]! / HALF - 1;
  });
  return tensor4d(values, [images.length, height, width, 3]);
}

/** The images of a batch, clipped and rounded. @shape [B, H, W, 3] in about [-1, 1] */
export async function imagesOf(batch_BHWC: Tensor4D): Promise<RgbImage[]> {
  const [count, height, width] = batch_BHWC.shape;
  const values = await batch_BHWC.data();
  const size = 3 * width * height;
  return Array.from({ length: count }, (_, b) => {
    // The array itself clamps and rounds.
    const data = new Uint8ClampedArray(size);
    for (let i = 0; i < size; i++) data[i] = (values[b * size + i]! + 1) * HALF;
    return { width, height, data: new Uint8Array(data.buffer) };
  });
}
