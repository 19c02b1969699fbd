import type { TargetSize } from '../inference/segmentation.ts';
import type { ProcessorSize } from './config.ts';

/** Python's round: halves go to the even number. */
function round(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

/** @source transformers 5.23 get_size_with_aspect_ratio */
function byEdges([height, width]: TargetSize, shortest: number, longest: number): TargetSize {
  const [small, large] = [Math.min(height, width), Math.max(height, width)];
  // Sides keep their ratio exactly until they are cut to whole pixels.
  const exact = (large / small) * shortest > longest ? (longest * small) / large : shortest;
  const side = round(exact);
  if (small === side) return [height, width];
  return width < height ? [Math.trunc((exact * height) / width), side] : [side, Math.trunc((exact * width) / height)];
}

function sizeFor([height, width]: TargetSize, size: ProcessorSize): TargetSize {
  if ('shortestEdge' in size) return byEdges([height, width], size.shortestEdge, size.longestEdge);
  if ('height' in size) return [size.height, size.width];
  // As transformers 5.23's get_image_size_for_max_height_width.
  const scale = Math.min(size.maxHeight / height, size.maxWidth / width);
  return [Math.trunc(height * scale), Math.trunc(width * scale)];
}

/** What an image is resized to. @throws when a side would vanish @source transformers 5.23 Mask2FormerImageProcessor.resize */
export function resizedSize(image: TargetSize, size: ProcessorSize, divisor: number): TargetSize {
  const [height, width] = sizeFor(image, size);
  if (height < 1 || width < 1) {
    throw new Error(
      `preprocess: a resized image has a pixel at least; got [${height}, ${width}] of [${image}]; crop it or give a larger size`,
    );
  }
  if (divisor === 0) return [height, width];
  return [Math.ceil(height / divisor) * divisor, Math.ceil(width / divisor) * divisor];
}
