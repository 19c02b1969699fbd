import type { RgbImage } from '@rass/images';
import { adainColourFix, waveletColourFix } from '@rass/metrics';

/** A restored photograph with the colours of the bad one. @shape of one size */
export function fixColours(restored: RgbImage, style: RgbImage, fix: 'adain' | 'wavelet'): RgbImage {
  const apply = fix === 'adain' ? adainColourFix : waveletColourFix;
  const { data } = apply({ ...restored, channels: 3 }, { ...style, channels: 3 });
  return { width: restored.width, height: restored.height, data: new Uint8Array(data.buffer) };
}
