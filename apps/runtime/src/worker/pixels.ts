import { fromRgba, type RgbImage } from '@rass/images';
import type { SentImage } from '../protocol/messages.ts';

/** The pixels of what a page has sent; a bitmap is closed. Alpha stays beside the colours: what is transparent is seen on white.
 * @throws when the browser gives no canvas */
export function pixelsOf(image: SentImage): RgbImage {
  if ('data' in image) return image;
  if ('rgba' in image) return fromRgba({ width: image.width, height: image.height, data: image.rgba });
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('runtime: pictures are read by a 2D canvas; got none; send ImageData');
  context.drawImage(image, 0, 0);
  image.close();
  return fromRgba(context.getImageData(0, 0, width, height));
}
