import { RuntimeError, receivedError, sentError } from '../protocol/errors.ts';
import type { PixelImage, SentImage } from '../protocol/messages.ts';
import type { RuntimeRule } from '../protocol/rules.ts';
import { addressOf } from './address.ts';
import { STEP } from './pictures.ts';
import { inSlices } from './slices.ts';

/** A tensor of TensorFlow.js, of whichever copy. @shape [H, W, 3] in [0, 255], or [-1, 1] where it is float32 and below 0 somewhere */
export interface TensorLike {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<ArrayLike<number>>;
}

/** What a photograph can be given as. A text is a URL. */
export type ImageSource =
  | string
  | URL
  | Blob
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame
  | TensorLike
  | PixelImage;

/** An image as it is sent, with what is given away with it. */
export interface Sending {
  readonly image: SentImage;
  readonly width: number;
  readonly height: number;
  readonly transfer: Transferable[];
}

const CHANNELS = 3;
const RGBA = 4;

function refuse(rule: RuntimeRule, message: string, cause?: unknown): never {
  throw new RuntimeError(rule, message, { cause });
}

const sending = (image: PixelImage): Sending => ({
  image,
  width: image.width,
  height: image.height,
  transfer: [image.data, ...(image.alpha ? [image.alpha] : [])].map(({ buffer }) => buffer as ArrayBuffer),
});

const isTensor = (source: object): source is TensorLike =>
  'shape' in source && 'dtype' in source && 'data' in source && typeof source.data === 'function';
const isPixels = (source: object): source is PixelImage =>
  'data' in source && ArrayBuffer.isView(source.data) && 'width' in source && 'height' in source;

async function ofTensor(tensor: TensorLike): Promise<Sending> {
  const [height = 0, width = 0, channels] = tensor.shape;
  if (tensor.shape.length !== CHANNELS || channels !== CHANNELS || height * width === 0) {
    refuse(
      'BadImage',
      `runtime: a tensor of an image is [H, W, 3]; got [${tensor.shape.join(', ')}]; take one image of a batch`,
    );
  }
  const values = await tensor.data();
  let least = 0;
  await inSlices(values.length, STEP, (start, end) => {
    for (let i = start; i < end; i++) least = Math.min(least, values[i]!);
  });
  const scaled = tensor.dtype === 'float32' && least < 0;
  // The array itself clamps and rounds.
  const bytes = new Uint8ClampedArray(values.length);
  await inSlices(values.length, STEP, (start, end) => {
    for (let i = start; i < end; i++) bytes[i] = scaled ? (values[i]! + 1) * 127.5 : values[i]!;
  });
  return sending({ width, height, data: new Uint8Array(bytes.buffer) });
}

/** The caller's pixels stay the caller's: a copy is sent, made at once, since the next frame may be written over them. */
function ofPixels({ width, height, data, alpha }: PixelImage): Sending {
  const channels = data.length / (width * height);
  const copy = new Uint8Array(data);
  if (channels === CHANNELS) {
    return sending({ width, height, data: copy, ...(alpha && { alpha: new Uint8Array(alpha) }) });
  }
  if (channels === RGBA) return { image: { width, height, rgba: copy }, width, height, transfer: [copy.buffer] };
  return refuse(
    'BadImage',
    `runtime: pixels have 3 or 4 channels of ${width} x ${height}; got ${data.length} numbers; check the size`,
  );
}

async function fetched(url: string | URL, signal: AbortSignal | undefined): Promise<Blob> {
  const address = addressOf('a photograph', url);
  try {
    const { fetchFile } = await import('./fetch-file.ts');
    return await fetchFile(address, { ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw receivedError(sentError(error));
  }
}

async function ofPicture(source: ImageBitmapSource, what: string): Promise<Sending> {
  try {
    const image = await createImageBitmap(source, { premultiplyAlpha: 'none' });
    return { image, width: image.width, height: image.height, transfer: [image] };
  } catch (cause) {
    return refuse(
      'BadImage',
      `runtime: ${what}: an image that the browser can read; got "${(cause as Error).message}"; convert it to JPEG or PNG`,
      cause,
    );
  }
}

/** Makes what can be sent of a photograph. @throws RuntimeError when it is none, or cannot be had */
export async function sendable(source: ImageSource, signal?: AbortSignal): Promise<Sending> {
  if (typeof source === 'string' || source instanceof URL) {
    return ofPicture(await fetched(source, signal), String(source));
  }
  if (typeof source !== 'object' || source === null) {
    return refuse(
      'BadImage',
      `runtime: an image is a URL, a Blob, a picture of the page, pixels or a tensor; got ${source}; give one`,
    );
  }
  if (isTensor(source)) return ofTensor(source);
  if (isPixels(source)) return ofPixels(source);
  return ofPicture(
    source as ImageBitmapSource,
    source instanceof Blob ? ((source as File).name ?? 'the Blob') : 'the picture',
  );
}
