/** Red, green and blue from 0 to 255, interleaved, row by row. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Classes row by row; 255 is ignored. */
export interface LabelMap {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export type Colour = readonly [red: number, green: number, blue: number];

export const IGNORE_LABEL = 255;
const IGNORED: Colour = [0, 0, 0];
const WHITE = 255;

/** A label map in its classes' colours. */
export function colourLabels({ width, height, data }: LabelMap, colours: readonly Colour[]): RgbImage {
  const out = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    const label = data[i]!;
    out.set(label === IGNORE_LABEL ? IGNORED : (colours[label] ?? IGNORED), 3 * i);
  }
  return { width, height, data: out };
}

/** A label map over its image; `opacity` is the labels' share. Ignored pixels are the image's. */
export function overlayLabels(image: RgbImage, labels: LabelMap, colours: readonly Colour[], opacity = 0.55): RgbImage {
  const data = image.data.map((value, i) => {
    const label = labels.data[Math.floor(i / 3)]!;
    const colour = label === IGNORE_LABEL ? undefined : colours[label]?.[i % 3];
    return colour === undefined ? value : Math.round(value * (1 - opacity) + colour * opacity);
  });
  return { ...image, data };
}

/** Pictures side by side on white, their upper edges in one line. */
export function strip(pictures: readonly RgbImage[], gap = 4): RgbImage {
  const width = pictures.reduce((sum, each) => sum + each.width + gap, -gap);
  const height = Math.max(...pictures.map((each) => each.height));
  const data = new Uint8Array(3 * width * height).fill(WHITE);
  let left = 0;
  for (const picture of pictures) {
    const bytes = 3 * picture.width;
    for (let y = 0; y < picture.height; y++) {
      data.set(picture.data.subarray(y * bytes, (y + 1) * bytes), 3 * (y * width + left));
    }
    left += picture.width + gap;
  }
  return { width, height, data };
}

/** A picture without its alpha. */
export function withoutAlpha({
  width,
  height,
  data,
}: {
  width: number;
  height: number;
  data: ArrayLike<number>;
}): RgbImage {
  const out = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) out[3 * i + c] = data[4 * i + c]!;
  return { width, height, data: out };
}
