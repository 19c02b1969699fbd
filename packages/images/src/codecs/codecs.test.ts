import { type Golden, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import {
  decodeImage,
  decodeLabels,
  encodeLabelsPng,
  encodePng,
  orient,
  type RgbImage,
  resizeImage,
  resizeLabels,
} from '../index.ts';

const golden: Golden = loadGolden('images/codecs');
const { exact, sizes } = golden.config as { exact: string[]; sizes: [number, number][] };

const bytesOf = (name: string): Uint8Array => Uint8Array.from(golden.raw(name).values);

function expected(name: string): RgbImage {
  const { shape } = golden.raw(name);
  return { width: shape[1]!, height: shape[0]!, data: bytesOf(name) };
}

describe('decodeImage reads what Pillow reads', () => {
  it.each(exact)('to the last level: %s', async (name) => {
    expect(await decodeImage(bytesOf(`in/${name}`))).toEqual(expected(`out/${name}`));
  });
});

describe('decodeLabels', () => {
  it.each(['palette.png', 'palette-4.png', 'palette-2.png', 'grey.png'])(
    'reads numbers, not colours: %s',
    async (name) => {
      const { shape } = golden.raw(`out/numbers/${name}`);
      const { width, height, data } = await decodeLabels(bytesOf(`in/${name}`));
      expect([height, width]).toEqual(shape);
      expect(data).toEqual(bytesOf(`out/numbers/${name}`));
    },
  );

  it('says what is wrong', async () => {
    await expect(decodeLabels(bytesOf('in/rgb.png'), { name: 'a.png' })).rejects.toThrow(
      'a.png: labels have one channel; got 3; save them as grey or with a palette',
    );
    await expect(decodeLabels(bytesOf('in/444.jpg'), { name: 'a.jpg' })).rejects.toThrow('a.jpg: labels are a PNG');
    await expect(decodeLabels(bytesOf('in/grey-16.png'))).rejects.toThrow('labels: labels are from 0 to 255; got ');
  });
});

describe('files of our own', () => {
  it('come back as they were', async () => {
    const image = expected('out/rgb.png');
    expect(await decodeImage(encodePng(image))).toEqual(image);
    const labels = { width: 3, height: 2, data: Uint8Array.of(0, 7, 255, 254, 1, 2) };
    expect(await decodeLabels(encodeLabelsPng(labels))).toEqual(labels);
  });

  it('are refused when they are no images, are cut, flipped in a bit or enormous', async () => {
    const png = bytesOf('in/rgb.png');
    await expect(decodeImage(new Uint8Array(0), { name: 'x' })).rejects.toThrow(
      'x: images are JPEG, PNG and WebP; got an empty file; fetch it anew',
    );
    await expect(decodeImage(new TextEncoder().encode('what is this'))).rejects.toThrow('got something else');
    await expect(decodeImage(png, { name: 'x', maxPixels: 100 })).rejects.toThrow(
      'x: an image has at most 100 pixels; got 21 x 14; make it smaller, or raise maxPixels',
    );
    const flipped = png.slice();
    flipped[png.length >> 1]! ^= 4;
    for (const bytes of [png.subarray(0, 200), flipped, bytesOf('in/444.jpg').subarray(0, 500)]) {
      await expect(decodeImage(bytes, { name: 'x' })).rejects.toThrow(/^x: .* fetch it anew$/);
    }
  });
});

it.each(sizes)('resizes as Pillow: %s x %s', (width, height) => {
  const image = expected('out/rgb.png');
  for (const filter of ['bilinear', 'bicubic'] as const) {
    const name = `out/resized/${filter}-${width}x${height}`;
    expect(resizeImage(image, { width, height }, filter)).toEqual(expected(name));
  }
  const labels = { width: 21, height: 14, data: bytesOf('out/numbers/grey.png') };
  expect(resizeLabels(labels, { width, height }).data).toEqual(bytesOf(`out/resized/nearest-${width}x${height}`));
});

it('leaves an image as it is for an orientation that is none', () => {
  const image = expected('out/rgb.png');
  expect(orient(image, undefined)).toBe(image);
  expect(orient(image, 9)).toBe(image);
});

it('says that an animation is none', async () => {
  const bytes = new Uint8Array(40);
  bytes.set(new TextEncoder().encode('RIFF'), 0);
  bytes.set(new TextEncoder().encode('WEBPVP8X'), 8);
  bytes[20] = 0x02;
  await expect(decodeImage(bytes, { name: 'moving.webp' })).rejects.toThrow(
    'moving.webp: an image is one picture; got an animation; take one of its frames',
  );
});
