import { type Colour, IGNORE_LABEL, type LabelMap, type RgbImage } from './image.ts';

const BLACK: Colour = [0, 0, 0];
const WHITE = 255;

/** A label map in its classes' colours; ignored pixels are black. @shape [H, W] -> [H, W, 3] */
export function colourLabels({ width, height, data }: LabelMap, colours: readonly Colour[]): RgbImage {
  const out = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    const label = data[i]!;
    out.set(label === IGNORE_LABEL ? BLACK : (colours[label] ?? BLACK), 3 * i);
  }
  return { width, height, data: out };
}

/** A label map over its image; `opacity` is the labels' share. Ignored pixels are the image's. @shape of one size @throws when it is not */
export function overlayLabels(image: RgbImage, labels: LabelMap, colours: readonly Colour[], opacity = 0.55): RgbImage {
  if (labels.width !== image.width || labels.height !== image.height) {
    const sizes = `${labels.width} x ${labels.height} for ${image.width} x ${image.height}`;
    throw new Error(`overlayLabels: labels have their image's size; got ${sizes}; resize them by resizeLabels`);
  }
  const data = image.data.map((value, i) => {
    const label = labels.data[Math.floor(i / 3)]!;
    const colour = label === IGNORE_LABEL ? undefined : colours[label]?.[i % 3];
    return colour === undefined ? value : Math.round(value * (1 - opacity) + colour * opacity);
  });
  return { ...image, data };
}

/** Pictures side by side on white, their upper edges in one line, `gap` pixels apart. */
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
