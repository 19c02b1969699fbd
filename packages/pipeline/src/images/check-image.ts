import type { RgbImage } from '@rass/images';
import { PipelineError } from '../error.ts';

const isSide = (side: number): boolean => Number.isInteger(side) && side > 0;

/** That an image has the pixels that it says: whole rows, and numbers from 0 to 255. Of values that are none everything that is computed of them is none.
 * @throws when it has others */
export function checkImage(where: string, { width, height, data, alpha }: RgbImage): void {
  if (!isSide(width) || !isSide(height)) {
    throw new PipelineError(
      'BadImage',
      `${where}: an image has whole sides above 0; got ${width} x ${height}; look at what made it`,
    );
  }
  if (data?.length !== 3 * width * height) {
    throw new PipelineError(
      'BadImage',
      `${where}: an image has red, green and blue of each pixel; got ${data?.length} values for ${width} x ${height}; leave out the alpha, or give its own size`,
    );
  }
  if (alpha !== undefined && alpha.length !== width * height) {
    throw new PipelineError(
      'BadImage',
      `${where}: alpha is one number of each pixel; got ${alpha.length} for ${width} x ${height}; give its own size`,
    );
  }
  // Bytes are nothing else.
  if (data.BYTES_PER_ELEMENT === 1) return;
  const values: ArrayLike<number> = data;
  for (let i = 0; i < values.length; i++) {
    if (values[i]! >= 0 && values[i]! <= 255) continue;
    throw new PipelineError(
      'BadImage',
      `${where}: pixels are numbers from 0 to 255; got ${values[i]} at ${i}; look at what made the image`,
    );
  }
}
