export { fromRgba, withoutAlpha } from './alpha.ts';
export { flatten, unflatten, WHITE } from './background.ts';
export { type DecodeImageOptions, type DecodeOptions, decodeImage, decodeLabels } from './codecs/decode.ts';
export { encodeLabelsPng, encodePng } from './codecs/encode-png.ts';
export { orient } from './codecs/orientation.ts';
export { type Colour, IGNORE_LABEL, type LabelMap, type RgbImage } from './image.ts';
export { nearestPositions, type Pixels, resizePixels } from './pillow.ts';
export { colourLabels, overlayLabels, strip } from './show.ts';
export {
  type Box,
  cropImage,
  cropLabels,
  mirrorImage,
  mirrorLabels,
  resizeImage,
  resizeLabels,
  type Size,
  withAlphaOf,
} from './transform.ts';
