import type { RgbImage } from '@rass/images';

/** An image whose sides are multiples, its last row and column repeated: black would bleed into what is restored. */
export function padEdges(image: RgbImage, multiple: number): RgbImage {
  const [width, height] = [image.width, image.height].map((side) => Math.ceil(side / multiple) * multiple) as [
    number,
    number,
  ];
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const row = 3 * image.width * Math.min(y, image.height - 1);
    for (let x = 0; x < width; x++) {
      const from = row + 3 * Math.min(x, image.width - 1);
      data.set(image.data.subarray(from, from + 3), 3 * (y * width + x));
    }
  }
  return { width, height, data };
}
