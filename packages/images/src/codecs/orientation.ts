import type { RgbImage } from '../image.ts';

/** Where EXIF's orientations 2 to 8 take each pixel from: the source's place of (x, y) in a result of w x h. */
const SOURCES: Readonly<Record<number, (x: number, y: number, w: number, h: number) => readonly [number, number]>> = {
  2: (x, y, w) => [w - 1 - x, y],
  3: (x, y, w, h) => [w - 1 - x, h - 1 - y],
  4: (x, y, _, h) => [x, h - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y, w) => [y, w - 1 - x],
  7: (x, y, w, h) => [h - 1 - y, w - 1 - x],
  8: (x, y, _, h) => [h - 1 - y, x],
};
/** From this one on width and height are exchanged. */
const FIRST_TURNED = 5;
const COLOURS = 3;

interface Turning {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** A row's places in the source lie in one line: its first, and the step to the next. */
function turned({ width: w, height: h, channels, data }: Turning, orientation: number): Uint8Array {
  const source = SOURCES[orientation]!;
  const [width, height] = orientation >= FIRST_TURNED ? [h, w] : [w, h];
  const placeOf = (x: number, y: number): number => {
    const [fromX, fromY] = source(x, y, width, height);
    return channels * (fromY * w + fromX);
  };
  const step = placeOf(1, 0) - placeOf(0, 0);
  const out = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < height; y++) {
    let from = placeOf(0, y);
    for (let x = 0; x < width; x++, from += step) for (let c = 0; c < channels; c++) out[to++] = data[from + c]!;
  }
  return out;
}

/** Rows of numbers, one a pixel, as the camera was held; see orient. */
export function orientLabels<R extends { readonly width: number; readonly height: number; readonly data: Uint8Array }>(
  raster: R,
  orientation: number | undefined,
): R {
  if (orientation === undefined || SOURCES[orientation] === undefined) return raster;
  const { width, height } = raster;
  const size = orientation >= FIRST_TURNED ? { width: height, height: width } : { width, height };
  return { ...raster, ...size, data: turned({ ...raster, channels: 1 }, orientation) };
}

/** An image as its camera was held. `orientation`: EXIF's, 1 to 8; others leave it as it is. @source EXIF 2.32, tag 0x0112 */
export function orient(image: RgbImage, orientation: number | undefined): RgbImage {
  if (orientation === undefined || SOURCES[orientation] === undefined) return image;
  const { width, height, alpha } = image;
  const size = orientation >= FIRST_TURNED ? { width: height, height: width } : { width, height };
  return {
    ...size,
    data: turned({ ...image, channels: COLOURS }, orientation),
    ...(alpha && { alpha: turned({ width, height, channels: 1, data: alpha }, orientation) }),
  };
}
