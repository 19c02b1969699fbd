import {
  type Box,
  cropImage,
  cropLabels,
  IGNORE_LABEL,
  type LabelMap,
  mirrorImage,
  mirrorLabels,
  type RgbImage,
  resizeImage,
  resizeLabels,
  type Size,
} from '@rass/images';
import type { DatasetSample } from '../dataset.ts';
import { changeColours, drawColourChange } from './colour.ts';

export interface AugmentOptions {
  /** The sides of what comes out. */
  readonly crop: number;
  /** The shorter side is brought to one of these first; unset: the image's own. */
  readonly shortSides?: readonly number[];
  /** The longer side is then no more than this; default 4 crops. */
  readonly longest?: number;
  /** Mirror every other sample; default true. */
  readonly flip?: boolean;
  /** SSD's colour changes, on the good photograph; default false. A bad one that is given is left as it is. */
  readonly colour?: boolean;
  /** No class fills more of a crop than this, if ten tries allow it; default 1: any crop. */
  readonly mostOfOneClass?: number;
}

/** What is beyond an image's edges. @source Mask2Former's mappers pad with 128 */
const GREY = 128;
const TRIES = 10;
const LONGEST_CROPS = 4;

/** The sides of the paper's training, from 256 to 1024 for crops of 512. @source Mask2Former's ADE20K configuration: half to twice in steps of a tenth */
export const shortSides = (crop: number): number[] =>
  Array.from({ length: 16 }, (_, i) => Math.floor(((i + 5) / 10) * crop));

/** Both sides times the same: the shorter one is a given number, or less where the longer one would be too long. A side has a pixel at least. @source detectron2 ResizeShortestEdge */
export function shortestEdge({ width, height }: Size, { side, longest }: { side: number; longest: number }): Size {
  const scale = Math.min(side / Math.min(width, height), longest / Math.max(width, height));
  const scaled = (length: number): number => Math.max(1, Math.floor(length * scale + 0.5));
  return { width: scaled(width), height: scaled(height) };
}

/** All images of a sample, changed alike. */
export function mapSample(
  sample: DatasetSample,
  { image, labels }: { image: (each: RgbImage) => RgbImage; labels: (each: LabelMap) => LabelMap },
): DatasetSample {
  return {
    id: sample.id,
    image: image(sample.image),
    ...(sample.labels && { labels: labels(sample.labels) }),
    ...(sample.degraded && { degraded: image(sample.degraded) }),
  };
}

/** Whether some class fills more of a label map than its share; ignored pixels do not count. A crop of one class alone always does. */
function isOneSided({ data }: LabelMap, most: number): boolean {
  const counts = new Map<number, number>();
  for (const label of data) if (label !== IGNORE_LABEL) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sum = [...counts.values()].reduce((a, b) => a + b, 0);
  return counts.size <= 1 || Math.max(...counts.values()) >= most * sum;
}

/** Of an image that is smaller, all of it. */
function drawBox({ width, height }: Size, crop: number, random: () => number): Box {
  const [across, down] = [Math.min(width, crop), Math.min(height, crop)];
  const start = (side: number): number => Math.floor(random() * (side + 1));
  return { left: start(width - across), top: start(height - down), width: across, height: down };
}

/** A place for the crop, tried until no class fills too much of it. @source detectron2 RandomCrop_CategoryAreaConstraint */
function chooseBox({ image, labels }: DatasetSample, crop: number, most: number, random: () => number): Box {
  let box = drawBox(image, crop, random);
  if (labels === undefined || most >= 1) return box;
  for (let tries = 1; tries < TRIES && isOneSided(cropLabels(labels, box), most); tries++) {
    box = drawBox(image, crop, random);
  }
  return box;
}

const cropped = (sample: DatasetSample, box: Box): DatasetSample =>
  mapSample(sample, { image: (each) => cropImage(each, box, GREY), labels: (each) => cropLabels(each, box) });

/** A sample at another size, Pillow's way; labels by their nearest. */
export const resizeSample = (sample: DatasetSample, size: Size): DatasetSample =>
  sample.image.width === size.width && sample.image.height === size.height
    ? sample
    : mapSample(sample, { image: (each) => resizeImage(each, size), labels: (each) => resizeLabels(each, size) });

/** Image, labels and bad photograph of a training sample: resized, cut, colours changed, mirrored. Where an image is smaller than the crop it is
 * filled up last, to the right and below, with grey, and its labels with ignored ones. `random`: the next number in [0, 1).
 * @source Mask2Former's semantic mapper: ResizeShortestEdge, RandomCrop_CategoryAreaConstraint, ColorAugSSDTransform, RandomFlip, padding */
export function augmentSample(sample: DatasetSample, options: AugmentOptions, random: () => number): DatasetSample {
  const { crop, flip = true, colour = false, mostOfOneClass = 1, longest = LONGEST_CROPS * crop } = options;
  const sides = options.shortSides ?? [];
  const side = sides[Math.floor(random() * sides.length)];
  const sized = side === undefined ? sample : resizeSample(sample, shortestEdge(sample.image, { side, longest }));
  const cut = cropped(sized, chooseBox(sized, crop, mostOfOneClass, random));
  const coloured = colour ? { ...cut, image: changeColours(cut.image, drawColourChange(random)) } : cut;
  const turned = flip && random() < 0.5 ? mapSample(coloured, { image: mirrorImage, labels: mirrorLabels }) : coloured;
  return cropped(turned, { left: 0, top: 0, width: crop, height: crop });
}

/** What a validation sees of a sample: its shorter side brought to the crop's where it is smaller, and its middle. */
export function centreSample(sample: DatasetSample, crop: number): DatasetSample {
  const { image } = sample;
  const short = Math.min(image.width, image.height);
  const sized =
    short < crop
      ? resizeSample(sample, shortestEdge(image, { side: crop, longest: Number.POSITIVE_INFINITY }))
      : sample;
  const start = (length: number): number => (length - crop) >> 1;
  const box = { left: start(sized.image.width), top: start(sized.image.height), width: crop, height: crop };
  return cropped(sized, box);
}
