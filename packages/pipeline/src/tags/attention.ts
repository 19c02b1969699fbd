import { normalizeMaps, readMaps, type Size, type TagPositions, tagMaps, tagValues } from '@rass/attention-alignment';
import { ones, type Tensor4D, tidy } from '@tensorflow/tfjs-core';

/** Where a model looked for a tag. */
export interface TagAttention {
  readonly tag: string;
  /** Of the map, which has far fewer cells than the image has pixels. */
  readonly width: number;
  readonly height: number;
  /** For each cell, row by row, the tag's share of the attention to all tags, from 0 to 1. */
  readonly values: Float32Array;
}

/** The part of a map that lies over the image, without what was filled up. */
function cropped(values: Float32Array, [, columns]: Size, [height, width]: Size): Float32Array {
  const out = new Float32Array(height * width);
  for (let y = 0; y < height; y++) out.set(values.subarray(y * columns, y * columns + width), y * width);
  return out;
}

/** The largest maps of one pass, for each tag. `latents`: rows and columns of the pass; `inside`: the share of each that the image takes. */
export async function tagAttention(
  attention: Readonly<Record<string, Tensor4D>>,
  latents: Size,
  tags: readonly TagPositions[],
  inside: readonly [rows: number, columns: number],
): Promise<TagAttention[]> {
  const sizes: Size[] = [];
  const normalized = tidy(() => {
    const levels = tagMaps(attention, [[...tags]], [...latents]);
    const largest = levels.reduce((a, b) => (b.size[0] * b.size[1] > a.size[0] * a.size[1] ? b : a));
    sizes.push(largest.size);
    return normalizeMaps({ maps: largest.maps, present: ones([1, 1, tags.length]) }, 'tags');
  });
  const size = sizes[0]!;
  const [maps] = await readMaps({ size, maps: normalized }, [tags]).finally(() => normalized.dispose());
  const own: Size = [Math.ceil(size[0] * inside[0]), Math.ceil(size[1] * inside[1])];
  return tags.map(({ tag }, i) => ({
    tag,
    width: own[1],
    height: own[0],
    values: cropped(tagValues(maps!, i), size, own),
  }));
}
