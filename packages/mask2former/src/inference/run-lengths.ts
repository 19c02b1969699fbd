import type { SegmentationMap } from './segmentation.ts';

/** Hugging Face's run lengths: for each number of the map, from the lowest, a list of starts and lengths in turn; starts
 * count from 1, row by row. COCO's own go column by column: `encodeMask` of @rass/metrics makes them of a binary map.
 * @source transformers 5.23 convert_segmentation_to_rle */
export function runLengths({ data }: SegmentationMap): number[][] {
  const runs = new Map<number, number[]>();
  for (let start = 0; start < data.length; ) {
    let end = start + 1;
    while (end < data.length && data[end] === data[start]) end++;
    const own = runs.get(data[start]) ?? [];
    own.push(start + 1, end - start);
    runs.set(data[start], own);
    start = end;
  }
  return [...runs].sort(([a], [b]) => a - b).map(([, list]) => list);
}
