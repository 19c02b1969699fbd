import { cropImage, cropLabels, type LabelMap, mirrorImage, mirrorLabels, type RgbImage } from '@rass/images';
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
export function cropSample(sample: RawSample, { left, top, side, flip }: Crop): RawSample {
  const { id, image, labels, degraded } = sample;
  const box = { left, top, width: side, height: side };
  const cut = (each: RgbImage): RgbImage => (flip ? mirrorImage(cropImage(each, box)) : cropImage(each, box));
  const cutLabels = (each: LabelMap): LabelMap => (flip ? mirrorLabels(cropLabels(each, box)) : cropLabels(each, box));
  return {
    id,
    image: cut(image),
    ...(labels && { labels: cutLabels(labels) }),
    ...(degraded && { degraded: cut(degraded) }),
  };
}
