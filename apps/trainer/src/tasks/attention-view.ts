import {
  attentionIou,
  type HostMaps,
  heatMap,
  normalizeMaps,
  overlay,
  readMaps,
  type Size,
  tagMaps,
  tagValues,
} from '@rass/attention-alignment';
import { type RgbImage, withoutAlpha } from '@rass/images';
import { ones, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { Sample } from '../samples/sample.ts';
import type { CaptionedPicture } from '../training/task.ts';
import type { SamplePrompt } from './prompts.ts';

/** How one sample's attention is spread over its tags, at the largest size of map. */
export interface AttentionView {
  readonly maps: HostMaps;
  readonly prompt: SamplePrompt;
}

/** The maps of one sample, normalised over its tags; nothing where it has no tags. */
export async function attentionView(
  attention: Readonly<Record<string, Tensor4D>>,
  latents: readonly [number, number],
  prompt: SamplePrompt,
): Promise<AttentionView | undefined> {
  if (prompt.tags.length === 0) return undefined;
  const sizes: Size[] = [];
  const normalized = tidy(() => {
    const levels = tagMaps(attention, [prompt.tags], [...latents]);
    const largest = levels.reduce((a, b) => (b.size[0] > a.size[0] ? b : a));
    sizes.push(largest.size);
    return normalizeMaps({ maps: largest.maps, present: ones([1, 1, prompt.tags.length]) }, 'tags');
  });
  const [maps] = await readMaps({ size: sizes[0]!, maps: normalized }, [prompt.tags]);
  normalized.dispose();
  return { maps: maps!, prompt };
}

/** How well the tag with the most attention at each pixel is the label there. */
export function attentionScore({ maps, prompt }: AttentionView, { labels }: Sample): number {
  if (labels === undefined) return Number.NaN;
  const map = { size: [labels.height, labels.width] as [number, number], labels: labels.data };
  return attentionIou(maps, prompt.classes, map).mean;
}

const withAlpha = ({ width, height, data }: RgbImage) => {
  const out = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) out[4 * i + c] = data[3 * i + c]!;
  return { width, height, data: out };
};

/** The attention to each tag as heat over the image. */
export function attentionPictures({ maps, prompt }: AttentionView, image: RgbImage): CaptionedPicture[] {
  return prompt.tags.map(({ tag }, i) => {
    const heat = heatMap(tagValues(maps, i), maps.size, { size: [image.height, image.width], max: 1 });
    return { caption: `attention to “${tag}”`, picture: withoutAlpha(overlay(withAlpha(image), heat)) };
  });
}
