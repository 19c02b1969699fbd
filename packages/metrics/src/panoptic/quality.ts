import { checkOptions, listOf, type OptionRules, whole } from '@rass/kernels/options';
import { checkMergeable } from '../labels.ts';

const QUALITY_RULES: OptionRules<{ things?: readonly number[] }> = { things: listOf(whole(0)) };

/** A segment of a panoptic map. */
export interface Segment {
  /** Its number in the map. */
  readonly id: number;
  readonly category: number;
  /** Truth only: a group of things that was not taken apart. It is not to be found, and what lies in it is not wrong. */
  readonly isCrowd?: boolean;
}

/** Segment numbers of an image, row by row, and what they are. Pixels of `VOID_ID` belong to none. */
export interface PanopticMap {
  readonly width: number;
  readonly height: number;
  readonly ids: ArrayLike<number>;
  readonly segments: readonly Segment[];
}

/** The number of pixels without a segment. @source panopticapi VOID */
export const VOID_ID = 0;

export interface PanopticScores {
  /** Panoptic quality: segmentation quality times recognition quality. */
  readonly pq: number;
  /** Mean IoU of the segments that were matched. */
  readonly sq: number;
  /** Matches over matches and half of what was missed or made up. */
  readonly rq: number;
  /** How many categories were scored. */
  readonly categories: number;
}

interface Counts {
  iou: number;
  matched: number;
  madeUp: number;
  missed: number;
}

/** Segments match where they overlap more than they differ. @source Kirillov et al., arXiv 1801.00868 */
const MATCH_IOU = 0.5;

const empty = (): Counts => ({ iou: 0, matched: 0, madeUp: 0, missed: 0 });

/** Pixels of each segment, of each pair of segments, and by which segment of the truth each of the prediction's is covered. */
interface Overlaps {
  readonly truthAreas: ReadonlyMap<number, number>;
  readonly predictionAreas: ReadonlyMap<number, number>;
  readonly common: ReadonlyMap<number, ReadonlyMap<number, number>>;
}

function checkMap(what: string, { width, height, ids, segments }: PanopticMap): void {
  if (ids.length !== width * height) {
    throw new Error(
      `PanopticQuality: a map has width x height numbers; got ${ids.length} for ${width} x ${height} in the ${what}; give its own size`,
    );
  }
  const known = new Set(segments.map(({ id }) => id));
  if (known.size !== segments.length || known.has(VOID_ID)) {
    throw new Error(
      `PanopticQuality: segments have numbers of their own, not ${VOID_ID}; got ${segments.map(({ id }) => id).join(', ')} in the ${what}; number them anew`,
    );
  }
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === VOID_ID || known.has(ids[i])) continue;
    throw new Error(
      `PanopticQuality: each number is a segment's; got ${ids[i]} at ${i} of the ${what}; list the segment, or use ${VOID_ID}`,
    );
  }
}

function overlapsOf(prediction: PanopticMap, truth: PanopticMap): Overlaps {
  const truthAreas = new Map<number, number>();
  const predictionAreas = new Map<number, number>();
  const common = new Map<number, Map<number, number>>();
  const count = <K>(map: Map<K, number>, key: K): void => void map.set(key, (map.get(key) ?? 0) + 1);
  for (let i = 0; i < truth.ids.length; i++) {
    const [real, guess] = [truth.ids[i], prediction.ids[i]];
    count(truthAreas, real);
    count(predictionAreas, guess);
    const row = common.get(guess) ?? new Map<number, number>();
    common.set(guess, row);
    count(row, real);
  }
  return { truthAreas, predictionAreas, common };
}

/** Panoptic quality over any number of images. */
export class PanopticQuality {
  /** The categories that are things; the others are stuff. */
  readonly things: readonly number[];
  readonly #counts = new Map<number, Counts>();

  constructor(options: { things?: readonly number[] } = {}) {
    checkOptions('PanopticQuality', options, QUALITY_RULES);
    const { things = [] } = options;
    this.things = [...things].sort((a, b) => a - b);
  }

  #of(category: number): Counts {
    const counts = this.#counts.get(category) ?? empty();
    this.#counts.set(category, counts);
    return counts;
  }

  /** Counts an image. @throws when sizes differ, or a number is no segment's; then nothing is counted */
  add(prediction: PanopticMap, truth: PanopticMap): this {
    checkMap('prediction', prediction);
    checkMap('truth', truth);
    if (prediction.width !== truth.width || prediction.height !== truth.height) {
      throw new Error(
        `PanopticQuality: prediction and truth have one size; got ${prediction.width} x ${prediction.height} and ${truth.width} x ${truth.height}; resize the prediction`,
      );
    }
    const overlaps = overlapsOf(prediction, truth);
    const matched = this.#match(prediction, truth, overlaps);
    for (const { id, category, isCrowd } of truth.segments) {
      if (!isCrowd && overlaps.truthAreas.has(id) && !matched.truths.has(id)) this.#of(category).missed++;
    }
    for (const segment of prediction.segments) {
      const area = overlaps.predictionAreas.get(segment.id);
      if (area === undefined || matched.predictions.has(segment.id)) continue;
      // What lies mostly where there is nothing to find, or in a crowd of its kind, is not made up.
      if (excused(segment, truth, overlaps) / area <= MATCH_IOU) this.#of(segment.category).madeUp++;
    }
    return this;
  }

  #match(prediction: PanopticMap, truth: PanopticMap, { truthAreas, predictionAreas, common }: Overlaps) {
    const real = new Map(truth.segments.map((segment) => [segment.id, segment]));
    const truths = new Set<number>();
    const predictions = new Set<number>();
    for (const { id, category } of prediction.segments) {
      const row = common.get(id);
      for (const [other, shared] of row ?? []) {
        const segment = real.get(other);
        if (segment === undefined || segment.isCrowd || segment.category !== category) continue;
        const union = (predictionAreas.get(id) ?? 0) + (truthAreas.get(other) ?? 0) - shared - (row?.get(VOID_ID) ?? 0);
        if (shared / union <= MATCH_IOU) continue;
        const counts = this.#of(category);
        counts.matched++;
        counts.iou += shared / union;
        truths.add(other);
        predictions.add(id);
      }
    }
    return { truths, predictions };
  }

  /** @throws when the other has other things */
  merge(other: PanopticQuality): this {
    checkMergeable('PanopticQuality', { things: this.things }, { things: other.things });
    for (const [category, { iou, matched, madeUp, missed }] of other.#counts) {
      const counts = this.#of(category);
      counts.iou += iou;
      counts.matched += matched;
      counts.madeUp += madeUp;
      counts.missed += missed;
    }
    return this;
  }

  /** Scores of all categories, of things and of stuff, and of each. Categories that neither has do not count.
   * @source panopticapi evaluation.py */
  scores(): {
    all: PanopticScores;
    things: PanopticScores;
    stuff: PanopticScores;
    perCategory: Record<number, PanopticScores>;
  } {
    const each = [...this.#counts].filter(([, { matched, madeUp, missed }]) => matched + madeUp + missed > 0).sort(([a], [b]) => a - b); // biome-ignore format: one line
    const scored = each.map(([category, counts]) => [category, categoryScores(counts)] as const);
    const isThing = (category: number): boolean => this.things.includes(category);
    const mean = (chosen: typeof scored): PanopticScores => {
      const of = (name: 'pq' | 'sq' | 'rq') => chosen.reduce((sum, [, score]) => sum + score[name], 0) / chosen.length;
      return { pq: of('pq'), sq: of('sq'), rq: of('rq'), categories: chosen.length };
    };
    return {
      all: mean(scored),
      things: mean(scored.filter(([category]) => isThing(category))),
      stuff: mean(scored.filter(([category]) => !isThing(category))),
      perCategory: Object.fromEntries(scored),
    };
  }
}

function categoryScores({ iou, matched, madeUp, missed }: Counts): PanopticScores {
  const rq = matched / (matched + 0.5 * madeUp + 0.5 * missed);
  const sq = matched > 0 ? iou / matched : 0;
  return { pq: sq * rq, sq, rq, categories: 1 };
}

/** Pixels of a segment of the prediction that are of no segment, or of a crowd of its category. */
function excused({ id, category }: Segment, truth: PanopticMap, { common }: Overlaps): number {
  const row = common.get(id);
  // Of several crowds of a category the last counts, as in the reference.
  const crowd = truth.segments.filter((segment) => segment.isCrowd && segment.category === category).at(-1);
  return (row?.get(VOID_ID) ?? 0) + (crowd === undefined ? 0 : (row?.get(crowd.id) ?? 0));
}
