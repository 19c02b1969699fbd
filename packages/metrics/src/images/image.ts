/** An image, row by row, its channels side by side; values from 0 to 255. */
export interface Image {
  readonly width: number;
  readonly height: number;
  /** 1: grey, 3: red, green, blue; 4: and alpha, which is left out. */
  readonly channels: 1 | 3 | 4;
  readonly data: ArrayLike<number>;
}

/** What of an image is compared: its colours, or its luma as video has it (BT.601, from 16 to 235). */
export type Space = 'rgb' | 'y';

/** Weights of red, green and blue. @source ITU-R BT.601; MATLAB rgb2ycbcr */
const LUMA = [65.481, 128.553, 24.966];
const LUMA_OFFSET = 16;

/** @throws unless both images have their size and each other's, and finite values */
export function checkImages(where: string, a: Image, b: Image): void {
  for (const { width, height, channels, data } of [a, b]) {
    if (data.length !== width * height * channels) {
      throw new Error(
        `${where}: an image has width x height x channels values; got ${data.length} for ${width} x ${height} x ${channels}; give its own size`,
      );
    }
    for (let i = 0; i < data.length; i++) {
      if (!Number.isFinite(data[i]))
        throw new Error(
          `${where}: values are numbers from 0 to 255; got ${data[i]} at ${i}; look at what made the image`,
        );
    }
  }
  if (a.width === b.width && a.height === b.height && (a.channels === 1) === (b.channels === 1)) return;
  throw new Error(
    `${where}: images that are compared have one size; got ${a.width} x ${a.height} x ${a.channels} and ${b.width} x ${b.height} x ${b.channels}; resize or crop one`,
  );
}

/** The planes that are compared, each row by row. @throws when luma is asked of a grey image */
export function planesOf(image: Image, space: Space): Float64Array[] {
  const { width, height, channels, data } = image;
  const colours = Math.min(channels, 3);
  const planes = Array.from({ length: colours }, (_, c) =>
    Float64Array.from({ length: width * height }, (_, i) => data[i * channels + c]),
  );
  if (space === 'rgb' || colours === 1) return planes;
  const [red, green, blue] = planes;
  return [red.map((value, i) => LUMA_OFFSET + (value * LUMA[0] + green[i] * LUMA[1] + blue[i] * LUMA[2]) / 255)];
}
