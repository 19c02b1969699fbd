import type { RgbImage } from '../image.ts';

/** Where EXIF's orientations 1 to 8 take each pixel from: the source's place of (x, y) in a result of w x h. */
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

/** An image as its camera was held. `orientation`: EXIF's, 1 to 8; others leave it as it is. @source EXIF 2.32, tag 0x0112 */
export function orient(image: RgbImage, orientation: number | undefined): RgbImage {
  const source = orientation === undefined ? undefined : SOURCES[orientation];
  if (source === undefined) return image;
  const turned = orientation! >= FIRST_TURNED;
  const [width, height] = turned ? [image.height, image.width] : [image.width, image.height];
  const data = new Uint8Array(image.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [fromX, fromY] = source(x, y, width, height);
      const from = 3 * (fromY * image.width + fromX);
      data.set(image.data.subarray(from, from + 3), 3 * (y * width + x));
    }
  }
  return { width, height, data };
}
