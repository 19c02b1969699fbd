/** A mask as runs of zeros and ones in turn, column by column, the zeros first: COCO's RLE. */
export interface RunLengths {
  readonly width: number;
  readonly height: number;
  readonly counts: readonly number[];
}

/** COCO's JSON form: size is [height, width], counts a list or a text. */
export interface CocoRle {
  readonly size: readonly [height: number, width: number];
  readonly counts: readonly number[] | string;
}

/** A mask, row by row, as runs. What is not zero is of the mask. @throws when it has not width x height values */
export function encodeMask(
  mask: ArrayLike<number | boolean>,
  { width, height }: { readonly width: number; readonly height: number },
): RunLengths {
  if (mask.length !== width * height) {
    throw new Error(
      `encodeMask: a mask has width x height values; got ${mask.length} for ${width} x ${height}; give its own size`,
    );
  }
  const counts: number[] = [];
  let [last, run] = [false, 0];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = Boolean(mask[y * width + x]);
      if (value !== last) {
        counts.push(run);
        [last, run] = [value, 0];
      }
      run++;
    }
  }
  if (run > 0 || counts.length === 0) counts.push(run);
  return { width, height, counts };
}

/** The mask of runs, row by row, 0 and 1. */
export function decodeMask({ width, height, counts }: RunLengths): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(width * height);
  let at = 0;
  counts.forEach((run, i) => {
    if (i % 2 === 1) for (let k = at; k < at + run; k++) mask[(k % height) * width + Math.floor(k / height)] = 1;
    at += run;
  });
  return mask;
}

/** How many pixels the mask has. */
export function areaOf({ counts }: RunLengths): number {
  return counts.reduce((total, run, i) => (i % 2 === 1 ? total + run : total), 0);
}

/** Pixels of both masks, without decoding them. @throws when their sizes differ */
export function intersectionArea(a: RunLengths, b: RunLengths): number {
  if (a.width !== b.width || a.height !== b.height) {
    throw new Error(
      `masks that are compared have one size; got ${a.width} x ${a.height} and ${b.width} x ${b.height}; they are of other images`,
    );
  }
  let [i, j, leftA, leftB, total] = [0, 0, a.counts[0] ?? 0, b.counts[0] ?? 0, 0];
  while (i < a.counts.length && j < b.counts.length) {
    const step = Math.min(leftA, leftB);
    if (i % 2 === 1 && j % 2 === 1) total += step;
    leftA -= step;
    leftB -= step;
    if (leftA === 0) leftA = a.counts[++i] ?? 0;
    if (leftB === 0) leftB = b.counts[++j] ?? 0;
  }
  return total;
}

/** Intersection over union. Where the truth is a crowd, the share of what was found that lies in it. @source pycocotools mask.iou */
export function maskIou(found: RunLengths, truth: RunLengths, isCrowd = false): number {
  const shared = intersectionArea(found, truth);
  const union = isCrowd ? areaOf(found) : areaOf(found) + areaOf(truth) - shared;
  return union === 0 ? 0 : shared / union;
}

/** Each text character has five bits of a number, and one that says whether more follow. */
const BITS = 5;
const FIRST = 48;

/** Runs as COCO's text: from the third on differences to the run before the last, in characters from `0` on.
 * @source pycocotools rleToString */
export function toCocoRle({ width, height, counts }: RunLengths): CocoRle & { counts: string } {
  let text = '';
  counts.forEach((run, i) => {
    let value = i > 2 ? run - counts[i - 2] : run;
    for (let more = true; more; ) {
      const low = value & 31;
      value >>= BITS;
      // The highest bit is the sign.
      more = low & 16 ? value !== -1 : value !== 0;
      text += String.fromCharCode((more ? low | 32 : low) + FIRST);
    }
  });
  return { size: [height, width], counts: text };
}

function parseCounts(text: string): number[] {
  const counts: number[] = [];
  for (let at = 0; at < text.length; ) {
    let [value, shift, more] = [0, 0, true];
    while (more) {
      const code = text.charCodeAt(at++) - FIRST;
      if (!(code >= 0 && code < 64)) {
        throw new Error(
          `fromCocoRle: counts are a text of COCO's, characters from "0" to "o"; got "${text.slice(0, 20)}" with another at ${at - 1}; it was cut off or damaged`,
        );
      }
      value |= (code & 31) << shift;
      shift += BITS;
      more = (code & 32) !== 0;
      if (!more && code & 16) value |= -1 << shift;
    }
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
  }
  return counts;
}

/** @throws when the runs do not fill the size @source pycocotools rleFrString */
export function fromCocoRle({ size: [height, width], counts }: CocoRle): RunLengths {
  const runs = typeof counts === 'string' ? parseCounts(counts) : [...counts];
  const total = runs.reduce((sum, run) => sum + run, 0);
  if (total === width * height && runs.every((run) => run >= 0)) return { width, height, counts: runs };
  throw new Error(
    `fromCocoRle: runs fill the image, ${width} x ${height}; got ${total} pixels; the size is another's, or the text damaged`,
  );
}
