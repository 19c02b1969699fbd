import type { TargetSize } from './segmentation.ts';

export interface SizeOptions {
  /** [height, width] of each image's map; without, its part of maskSize. */
  readonly targetSizes?: readonly TargetSize[];
  /** What masks are brought to before they are combined. Default [384, 384], as Hugging Face whatever the image's shape; detectron2
   * has the height and width of the model's input here, padding included. */
  readonly maskSize?: TargetSize;
  /** The part of maskSize at the top left that each image has; the rest, which a batch was padded with, is left out as in
   * detectron2. Default all of it, as Hugging Face. */
  readonly imageSizes?: readonly TargetSize[];
}

/** The sizes that an image's masks go through. */
export interface ImageSizes {
  /** All masks, with what the batch was padded with. */
  readonly mask: TargetSize;
  /** The image's part of them. */
  readonly image: TargetSize;
  readonly target: TargetSize;
}

/** Hugging Face brings every image's masks to this size before it combines them.
 * @source transformers 5.23 image_processing_mask2former */
const MASK_SIDE = 384;

function checkSize(where: string, name: string, size: TargetSize, place = ''): void {
  if (size.length === 2 && size.every((side) => Number.isInteger(side) && side > 0)) return;
  throw new Error(
    `${where}: ${name} are whole numbers from 1 up; got [${size}]${place}; give [height, width] in pixels`,
  );
}

function checkSizes(where: string, name: string, images: number, sizes: readonly TargetSize[] | undefined): void {
  if (sizes === undefined) return;
  if (sizes.length !== images) {
    throw new Error(
      `${where}: ${name} has one size for each image; got ${sizes.length} for ${images}; give the [height, width] of each`,
    );
  }
  sizes.forEach((size, image) => {
    checkSize(where, name, size, ` for image ${image}`);
  });
}

/** Each image's sizes. @throws when there is not one for each image, or one is not of whole pixels or not within the masks' */
export function sizesOf(where: string, images: number, options: SizeOptions): ImageSizes[] {
  const { targetSizes, maskSize: mask = [MASK_SIDE, MASK_SIDE], imageSizes } = options;
  checkSize(where, 'maskSize', mask);
  checkSizes(where, 'targetSizes', images, targetSizes);
  checkSizes(where, 'imageSizes', images, imageSizes);
  return Array.from({ length: images }, (_, b) => {
    const image = imageSizes?.[b] ?? mask;
    if (image[0] > mask[0] || image[1] > mask[1]) {
      throw new Error(
        `${where}: imageSizes are parts of maskSize, [${mask}]; got [${image}] for image ${b}; give maskSize the height and width of the model's input`,
      );
    }
    return { mask, image, target: targetSizes?.[b] ?? image };
  });
}
