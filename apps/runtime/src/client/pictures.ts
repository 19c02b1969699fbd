import { RuntimeError } from '../protocol/errors.ts';
import type { PixelImage } from '../protocol/messages.ts';
import { inSlices } from './slices.ts';

export const OPAQUE = 255;
/** Pixels that are converted at a time. */
export const STEP = 1 << 16;
const ALPHA = OPAQUE << 24;

/** Pixels as numbers of 32 bits: red is the lowest byte, as all browsers' machines have it. */
export const wordsOf = ({ data }: ImageData): Uint32Array => new Uint32Array(data.buffer, data.byteOffset);

/** Makes an image a few rows at a time: `work` fills pixels `start` to before `end`. */
export async function imageInSlices(
  width: number,
  height: number,
  work: (image: ImageData, start: number, end: number) => void,
): Promise<ImageData> {
  const image = new ImageData(width, height);
  await inSlices(width * height, STEP, (start, end) => work(image, start, end));
  return image;
}

/** An image with alpha, as canvases take it. */
export function imageData({ width, height, data }: PixelImage): Promise<ImageData> {
  return imageInSlices(width, height, (image, start, end) => {
    const words = wordsOf(image);
    for (let i = start, at = 3 * start; i < end; i++, at += 3) {
      words[i] = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | ALPHA;
    }
  });
}

async function canvasOf(image: ImageData): Promise<OffscreenCanvas> {
  const { width, height } = image;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) {
    throw new RuntimeError(
      'OutOfMemory',
      `runtime: the browser has a canvas of ${width} x ${height}; got none; close other pages`,
    );
  }
  const rows = Math.max(1, Math.floor(STEP / width));
  await inSlices(height, rows, (top, end) => context.putImageData(image, 0, 0, 0, top, width, end - top));
  return canvas;
}

export const bitmapOf = async (image: ImageData): Promise<ImageBitmap> =>
  (await canvasOf(image)).transferToImageBitmap();

export async function blobOf(image: ImageData, type: string, quality: number | undefined): Promise<Blob> {
  return (await canvasOf(image)).convertToBlob({ type, ...(quality !== undefined && { quality }) });
}
