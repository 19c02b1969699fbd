import { namedRandom } from '@rass/nn';
import type { AugmentRecipe } from '../recipe/fields.ts';
import type { RawSample } from './source.ts';

/** A rectangle of an image, mirrored where it says so. */
export interface Crop {
  readonly left: number;
  readonly top: number;
  readonly side: number;
  readonly flip: boolean;
}

interface Raster<Data extends Uint8Array> {
  readonly width: number;
  readonly height: number;
  readonly data: Data;
}

/** The part of a raster of so many channels that a crop says. */
function cut(raster: Raster<Uint8Array>, channels: number, { left, top, side, flip }: Crop): Raster<Uint8Array> {
  const data = new Uint8Array(channels * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = channels * ((top + y) * raster.width + left + (flip ? side - 1 - x : x));
      for (let c = 0; c < channels; c++) data[channels * (y * side + x) + c] = raster.data[from + c]!;
    }
  }
  return { width: side, height: side, data };
}

/** Where an image is cut: anywhere while training, else in its middle. @throws when it is smaller than the crop */
export function chooseCrop(
  { id, image }: RawSample,
  { crop: side, flip }: Pick<AugmentRecipe, 'crop' | 'flip'>,
  { seed, training }: { readonly seed: number; readonly training: boolean },
): Crop {
  const [across, down] = [image.width - side, image.height - side];
  if (across < 0 || down < 0) {
    throw new Error(
      `samples: an image is at least as large as the crop, ${side} x ${side}; got ${image.width} x ${image.height} of ${id}; ` +
        'draw it larger, or set data.augment.crop',
    );
  }
  if (!training) return { left: across >> 1, top: down >> 1, side, flip: false };
  const next = namedRandom(seed, 'crop');
  const [left, top] = [across, down].map((room) => Math.floor(next() * (room + 1))) as [number, number];
  return { left, top, side, flip: flip && next() < 0.5 };
}

/** Image, labels and bad photograph, cut alike. */
export function cropSample(sample: RawSample, crop: Crop): RawSample {
  const { id, image, labels, degraded } = sample;
  return {
    id,
    image: cut(image, 3, crop),
    ...(labels && { labels: cut(labels, 1, crop) }),
    ...(degraded && { degraded: cut(degraded, 3, crop) }),
  };
}
