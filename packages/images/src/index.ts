export { withoutAlpha } from './alpha.ts';
export { type DecodeOptions, decodeImage, decodeLabels } from './codecs/decode.ts';
export { orient } from './codecs/orientation.ts';
export { encodeLabelsPng, encodePng } from './codecs/png.ts';
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
} from './transform.ts';
