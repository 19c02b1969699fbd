import { RuntimeError } from '../protocol/errors.ts';
import type { PixelImage } from '../protocol/messages.ts';
import { inSlices } from './slices.ts';
import { workerOfText } from './start-worker.ts';

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
export function imageData({ width, height, data, alpha }: PixelImage): Promise<ImageData> {
  return imageInSlices(width, height, (image, start, end) => {
    const words = wordsOf(image);
    for (let i = start, at = 3 * start; i < end; i++, at += 3) {
      const own = alpha === undefined ? ALPHA : alpha[i]! << 24;
      words[i] = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | own;
    }
  });
}

/** What a picture is made into. */
interface Encoding {
  /** Of a file; none makes a bitmap. */
  readonly type?: string;
  readonly quality?: number | undefined;
}

/** What a worker runs that makes one file or bitmap: browsers encode on the thread that asks. */
const ENCODER = `onmessage = async ({ data: { image, type, quality } }) => {
  try {
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext('2d', { willReadFrequently: true }).putImageData(new ImageData(image.data, image.width, image.height), 0, 0);
    const made = type === undefined ? canvas.transferToImageBitmap() : await canvas.convertToBlob({ type, quality });
    postMessage({ made }, type === undefined ? [made] : []);
  } catch (error) {
    postMessage({ failed: String(error) });
  }
};`;

/** Whether the page's policy forbade a worker, so that none is tried again. */
let isForbidden = false;

/** A worker that is ready; undefined where the page's policy allows none of a script's text. */
function encoder(): Promise<Worker | undefined> {
  return new Promise((resolve) => {
    const forbidden = (): void => {
      isForbidden = true;
      resolve(undefined);
    };
    if (isForbidden) return forbidden();
    try {
      const worker = workerOfText(`${ENCODER}postMessage('ready');`);
      worker.onmessage = () => resolve(worker);
      worker.onerror = () => {
        worker.terminate();
        forbidden();
      };
    } catch {
      forbidden();
    }
  });
}

const noCanvas = ({ width, height }: ImageData, reason: string): RuntimeError =>
  new RuntimeError(
    'OutOfMemory',
    `runtime: the browser has a canvas of ${width} x ${height}; got "${reason}"; make the photograph smaller, or close other pages`,
  );

/** Without a worker: the canvas is filled a few rows at a time, and the browser encodes as it does. */
async function madeHere(image: ImageData, { type, quality }: Encoding): Promise<Blob | ImageBitmap> {
  const { width, height } = image;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw noCanvas(image, 'none');
  const rows = Math.max(1, Math.floor(STEP / width));
  await inSlices(height, rows, (top, end) => context.putImageData(image, 0, 0, 0, top, width, end - top));
  return type === undefined ? canvas.transferToImageBitmap() : canvas.convertToBlob({ type, ...(quality !== undefined && { quality }) }); // biome-ignore format: one line
}

/** Gives the image away to a worker. */
async function made(image: ImageData, encoding: Encoding): Promise<Blob | ImageBitmap> {
  const worker = await encoder();
  if (worker === undefined) return madeHere(image, encoding);
  const { width, height, data } = image;
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data: answer }: MessageEvent<{ made?: Blob | ImageBitmap; failed?: string }>) => {
        if (answer.made !== undefined) resolve(answer.made);
        else reject(noCanvas(image, answer.failed ?? 'nothing'));
      };
      worker.onerror = ({ message }) => reject(noCanvas(image, message));
      worker.postMessage({ image: { width, height, data }, ...encoding }, [data.buffer]);
    });
  } finally {
    worker.terminate();
  }
}

/** A bitmap of an image, which is given away. */
export const bitmapOf = async (image: ImageData): Promise<ImageBitmap> => (await made(image, {})) as ImageBitmap;

/** A file of an image, which is given away. */
export const blobOf = async (image: ImageData, type: string, quality: number | undefined): Promise<Blob> =>
  (await made(image, { type, quality })) as Blob;
