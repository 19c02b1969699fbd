import { nearestPositions, type Pixels, resizePixels } from '@rass/images';
import { anything, checkOptions, type OptionRules } from '@rass/kernels/options';
import { Tensor, type Tensor3D, type Tensor4D, tensor3d, tensor4d } from '@tensorflow/tfjs-core';
import type { LabelMap, MaskTargets } from '../criterion/targets.ts';
import type { TargetSize } from '../inference/segmentation.ts';
import type { Mask2FormerProcessorConfig } from './config.ts';
import { type InstanceClasses, labelTargets, resizeLabels } from './labels.ts';
import { resizedSize } from './size.ts';

/** Red, green and blue of each pixel, and alpha or not, which is left out; row by row. A canvas' ImageData is one. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

export interface PreprocessOptions {
  /** A label map of each image, of its size. */
  readonly segmentationMaps?: readonly LabelMap[];
  /** Where maps have instances' numbers: their classes, one list for all images or one for each. */
  readonly instanceIdToSemanticId?: InstanceClasses | InstanceClasses[];
}

/** A batch, the caller's to dispose of. */
export interface Mask2FormerInputs {
  /** [B, H, W, 3]; 0 where an image is padded, at the bottom and at the right */
  readonly pixelValues: Tensor4D;
  /** [B, H, W], 1 where the image is */
  readonly pixelMask: Tensor3D;
  /** Of each image, as targetSizes of post-processing wants them. */
  readonly originalSizes: readonly TargetSize[];
  /** Of each image after resizing and before padding, as imageSizes of post-processing wants them. */
  readonly imageSizes: readonly TargetSize[];
  /** Of each image, where there are label maps. */
  readonly targets?: readonly MaskTargets[];
}

const WHERE = 'preprocess';
const LEVELS = 256;
const COLOURS = 3;

/** The three colours of an image. @throws when it is none @shape [H, W, 3 or 4] */
async function pixelsOf(image: RgbImage | Tensor3D, index: number): Promise<Pixels> {
  const isTensor = image instanceof Tensor;
  const [height, width, given] = isTensor ? image.shape : [image.height, image.width, 0];
  const data = isTensor ? await image.data() : image.data;
  const channels = isTensor ? given : data.length / (height * width);
  const sized = Number.isInteger(height) && Number.isInteger(width) && height > 0 && width > 0;
  if (!sized || (isTensor && image.rank !== 3) || (channels !== COLOURS && channels !== COLOURS + 1)) {
    const got = isTensor ? `[${image.shape}]` : `${data.length} values for ${height} x ${width}`;
    throw new Error(
      `${WHERE}: an image has 3 or 4 channels, [H, W, C]; got ${got} for image ${index}; convert it to red, green and blue`,
    );
  }
  const out = new Uint8Array(height * width * COLOURS);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < COLOURS; c++) {
      const value = data[i * channels + c];
      if (!(Number.isInteger(value) && value >= 0 && value < LEVELS)) {
        throw new Error(
          `${WHERE}: levels are whole numbers from 0 to 255; got ${value} in image ${index}; multiply an image of [0, 1] by 255 and round it`,
        );
      }
      out[i * COLOURS + c] = value;
    }
  }
  return { height, width, channels: COLOURS, data: out };
}

function nearestPixels({ data, ...image }: Pixels, [height, width]: TargetSize): Pixels {
  const [down, across] = [nearestPositions(image.height, height), nearestPositions(image.width, width)];
  const out = new Uint8Array(height * width * COLOURS);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (down[y] * image.width + across[x]) * COLOURS;
      out.set(data.subarray(from, from + COLOURS), (y * width + x) * COLOURS);
    }
  }
  return { height, width, channels: COLOURS, data: out };
}

function resized(image: Pixels, size: TargetSize, { resample }: Mask2FormerProcessorConfig): Pixels {
  if (image.height === size[0] && image.width === size[1]) return image;
  return resample === 'nearest' ? nearestPixels(image, size) : resizePixels(image, size, resample);
}

/** What each level of each colour becomes, rounded where transformers' arrays are. @shape [3][256] */
function levelTables(config: Mask2FormerProcessorConfig): Float32Array[] {
  const { doRescale, rescaleFactor, doNormalize, imageMean, imageStd } = config;
  const { fround } = Math;
  return Array.from({ length: COLOURS }, (_, c) =>
    Float32Array.from({ length: LEVELS }, (_, level) => {
      const value = fround(doRescale ? level * rescaleFactor : level);
      return doNormalize ? fround(value - fround(imageMean[c])) / fround(imageStd[c]) : value;
    }),
  );
}

function paddedSize(images: readonly Pixels[], { padSize }: Mask2FormerProcessorConfig): TargetSize {
  const height = Math.max(...images.map((image) => image.height));
  const width = Math.max(...images.map((image) => image.width));
  if (padSize === undefined) return [height, width];
  if (padSize.height >= height && padSize.width >= width) return [padSize.height, padSize.width];
  throw new Error(
    `${WHERE}: padSize holds every image; got [${padSize.height}, ${padSize.width}] for [${height}, ${width}]; give a larger one, or none`,
  );
}

/** The batch's values and where they are an image's. */
function batchOf(images: readonly Pixels[], [H, W]: TargetSize, tables: readonly Float32Array[]) {
  const B = images.length;
  const [values, inside] = [new Float32Array(B * H * W * COLOURS), new Int32Array(B * H * W)];
  images.forEach(({ height, width, data }, b) => {
    for (let y = 0; y < height; y++) {
      const [from, to] = [y * width, (b * H + y) * W];
      inside.fill(1, to, to + width);
      for (let i = 0; i < width * COLOURS; i++)
        values[to * COLOURS + i] = tables[i % COLOURS][data[from * COLOURS + i]];
    }
  });
  return { pixelValues: tensor4d(values, [B, H, W, COLOURS]), pixelMask: tensor3d(inside, [B, H, W], 'int32') };
}

function checkMaps(
  images: readonly Pixels[],
  { segmentationMaps: maps, instanceIdToSemanticId: ids }: PreprocessOptions,
): void {
  if (maps !== undefined && maps.length !== images.length) {
    throw new Error(
      `${WHERE}: every image has a label map; got ${maps.length} for ${images.length}; give one each, or none`,
    );
  }
  maps?.forEach(({ data, height, width }, b) => {
    const image = images[b];
    if (data.length === height * width && height === image.height && width === image.width) return;
    throw new Error(
      `${WHERE}: a label map has its image's size; got ${data.length} labels, ${height} x ${width}, for ${image.height} x ${image.width} in image ${b}; give the image's own map`,
    );
  });
  if (Array.isArray(ids) && ids.length !== images.length) {
    throw new Error(
      `${WHERE}: instanceIdToSemanticId is one list, or one for each image; got ${ids.length} for ${images.length}; give one for all`,
    );
  }
}

function targetsOf(
  sizes: readonly TargetSize[],
  padded: TargetSize,
  config: Mask2FormerProcessorConfig,
  { segmentationMaps, instanceIdToSemanticId: ids }: PreprocessOptions,
): MaskTargets[] | undefined {
  const instances = (b: number): InstanceClasses | undefined => (Array.isArray(ids) ? ids[b] : ids);
  return segmentationMaps?.map((map, b) => labelTargets(resizeLabels(map, sizes[b]), padded, config, instances(b)));
}

const PREPROCESS_OPTIONS_RULES: OptionRules<PreprocessOptions> = {
  segmentationMaps: anything,
  instanceIdToSemanticId: anything,
};

/** Makes a model's input of images, and masks of their label maps. Pixels are equal to transformers' with Pillow. Masks are 0
 * where the batch is padded; transformers has the label to ignore there, which is no part of a mask.
 * @shape images [H, W, 3 or 4], levels from 0 to 255
 * @throws when an image, a map or a size is not as it should be: by its place in the batch
 * @source transformers 5.23 Mask2FormerImageProcessorPil; golden/mask2former/inference-preprocess */
export async function preprocess(
  config: Mask2FormerProcessorConfig,
  images: readonly (RgbImage | Tensor3D)[],
  options: PreprocessOptions = {},
): Promise<Mask2FormerInputs> {
  checkOptions('preprocess', options, PREPROCESS_OPTIONS_RULES);
  if (images.length === 0) throw new Error(`${WHERE}: a batch has an image at least; got none; give one`);
  const given = await Promise.all(images.map(pixelsOf));
  checkMaps(given, options);
  const originalSizes = given.map(({ height, width }): TargetSize => [height, width]);
  const sizes = originalSizes.map((size) =>
    config.doResize ? resizedSize(size, config.size, config.sizeDivisor) : size,
  );
  const scaled = given.map((image, b) => resized(image, sizes[b], config));
  const padded = paddedSize(scaled, config);
  const targets = targetsOf(sizes, padded, config, options);
  const batch = batchOf(scaled, padded, levelTables(config));
  return { ...batch, originalSizes, imageSizes: sizes, ...(targets === undefined ? {} : { targets }) };
}
