import { type DecodedPng, decode, encode } from 'fast-png';
import type { LabelMap, RgbImage } from '../image.ts';

const BYTE = 8;
const COLOURS = 3;
const GREY_CHANNELS = 2;

/** The values of a PNG one by one, those of less than a byte unpacked. @shape [H * W * channels] */
function samplesOf({ width, height, data, depth, channels }: DecodedPng): ArrayLike<number> {
  if (depth >= BYTE) return data;
  // Rows start at a whole byte.
  const row = Math.ceil((width * channels * depth) / BYTE);
  const mask = 2 ** depth - 1;
  return Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const [y, x] = [Math.floor(i / (width * channels)), i % (width * channels)];
    const bit = x * depth;
    return (data[y * row + Math.floor(bit / BYTE)]! >> (BYTE - depth - (bit % BYTE))) & mask;
  });
}

/** A PNG's colours without its alpha, 16 bits cut to 8, as Pillow converts to RGB. */
export function pngImage(bytes: Uint8Array): RgbImage {
  const png = decode(bytes, { checkCrc: true });
  const { width, height, depth, channels, palette } = png;
  const samples = samplesOf(png);
  const toByte = depth > BYTE ? (v: number) => v >> BYTE : (v: number) => (v * 255) / (2 ** depth - 1);
  const isGrey = channels <= GREY_CHANNELS;
  const data = new Uint8Array(COLOURS * width * height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < COLOURS; c++) {
      const sample = samples[i * channels + (isGrey ? 0 : c)]!;
      data[COLOURS * i + c] = palette === undefined ? toByte(sample) : (palette[sample]?.[c] ?? 0);
    }
  }
  return { width, height, data };
}

/** The numbers in a PNG of one channel, a palette's or grey ones as they are. @throws when it has more channels, or a number does not fit */
export function pngNumbers(bytes: Uint8Array): { width: number; height: number; data: Uint16Array } {
  const png = decode(bytes, { checkCrc: true });
  if (png.channels !== 1)
    throw new Error(`labels have one channel; got ${png.channels}; save them as grey or with a palette`);
  return { width: png.width, height: png.height, data: Uint16Array.from(samplesOf(png)) };
}

export const encodePng = ({ width, height, data }: RgbImage): Uint8Array =>
  encode({ width, height, data, channels: COLOURS, depth: BYTE });

export const encodeLabelsPng = ({ width, height, data }: LabelMap): Uint8Array =>
  encode({ width, height, data, channels: 1, depth: BYTE });
