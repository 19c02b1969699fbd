import { filter2d } from './blur/filter.ts';
import { blurKernel } from './blur/kernel.ts';
import { drawDegradation } from './draw.ts';
import {
  clampUnit,
  type FloatImage,
  isFloat,
  levelOf,
  type PlanarImage,
  type RgbImage,
  toFloatImage,
  toPlanar,
  toRgbImage,
} from './image.ts';
import { jpeg } from './jpeg/jpeg.ts';
import { addNoise, type NoiseSource, seededNoise } from './noise.ts';
import { checkSeed } from './random/random-stream.ts';
import { checkRecord, type DegradationRecord, type RoundRecord } from './record.ts';
import { resize } from './resize.ts';
import { checkSettings } from './settings/check.ts';
import type { DegradationSettings } from './settings/settings.ts';
import { sharpen } from './sharpen.ts';

/** A degraded image of the input's own kind, and what was drawn for it. */
export interface Degraded<Image extends RgbImage | FloatImage> {
  readonly image: OfKind<Image>;
  readonly record: DegradationRecord;
}

/** The kind that comes back for a kind that is given. */
export type OfKind<Image extends RgbImage | FloatImage> = Image extends FloatImage
  ? FloatImage & { readonly data: Float32Array<ArrayBuffer> }
  : RgbImage & { readonly data: Uint8Array<ArrayBuffer> };

const clamped = (image: PlanarImage): PlanarImage => ({ ...image, data: image.data.map(clampUnit) });

/** Blur, resize and noise; the round's JPEG is for the caller to place. */
function beforeJpeg(image: PlanarImage, round: RoundRecord, noise: NoiseSource): PlanarImage {
  const blurred = round.blur === null ? image : filter2d(image, blurKernel(round.blur));
  return addNoise(resize(blurred, round.resize), round.noise, {}, noise);
}

/** A record's work on numbers, which are not rounded to levels at the end. */
export function applyRecord(input: PlanarImage, record: DegradationRecord, noise: NoiseSource): PlanarImage {
  const { first, second, final } = record;
  const finish = (image: PlanarImage): PlanarImage => {
    const sized = resize(image, final.resize);
    return final.sinc === null ? sized : filter2d(sized, blurKernel(final.sinc));
  };
  const sharp = record.sharpen ? sharpen(input) : input;
  const once = jpeg(beforeJpeg(sharp, first, noise), first.jpegQuality);
  const twice = beforeJpeg(once, second, noise);
  const done = final.jpegLast
    ? jpeg(clamped(finish(twice)), second.jpegQuality)
    : finish(jpeg(twice, second.jpegQuality));
  return record.resizeBack === null ? done : resize(done, record.resizeBack);
}

function run<Image extends RgbImage | FloatImage>(input: Image, planar: PlanarImage, record: DegradationRecord) {
  const done = applyRecord(planar, record, seededNoise);
  // Numbers are of 255 levels, as those of an image file.
  const image = isFloat(input)
    ? toFloatImage({ ...done, data: done.data.map((value) => levelOf(value) / 255) })
    : toRgbImage(done);
  return image as OfKind<Image>;
}

/** Degrades an image by Real-ESRGAN's two rounds of blur, resize, noise and JPEG. The same seed gives the same bytes on every machine.
 * A result has the input's size divided by the scale, rounded down, a pixel at least.
 * @throws when the image, a setting or the seed is not as it must be
 * @source basicsr 1.4.2 RealESRGANModel.feed_data; golden/degradation/pipeline */
export function degrade<Image extends RgbImage | FloatImage>(
  image: Image,
  settings: DegradationSettings,
  { seed }: { readonly seed: number },
): Degraded<Image> {
  checkSeed('degrade', seed);
  const planar = toPlanar(image);
  const record = drawDegradation(image, checkSettings('degrade', settings), seed);
  return { image: run(image, planar, record), record };
}

/** Degrades an image again by a record, to the byte; the record may have been through JSON.
 * @throws when the record is not one of degrade's, or of an image of another size */
export function replay<Image extends RgbImage | FloatImage>(image: Image, record: DegradationRecord): OfKind<Image> {
  const { width, height } = checkRecord('replay', record);
  if (width !== image.width || height !== image.height) {
    throw new Error(
      `replay: a record is for images of its size, ${width} x ${height}; got ${image.width} x ${image.height}; give the same image`,
    );
  }
  return run(image, toPlanar(image), record);
}
