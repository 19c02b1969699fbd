import { areaOf, maskIou, type RunLengths } from './rle.ts';

/** An instance that was found. */
export interface FoundInstance {
  readonly mask: RunLengths;
  readonly category: number;
  /** How sure the model is. */
  readonly score: number;
}

/** An instance of the truth. */
export interface TrueInstance {
  readonly mask: RunLengths;
  readonly category: number;
  /** A group that was not taken apart: it is not to be found, and what lies in it is not wrong. */
  readonly isCrowd?: boolean;
  /** In pixels, where the annotation gives it; default the mask's. */
  readonly area?: number;
}

/** @source COCOeval Params for `segm` */
const IOU_THRESHOLDS = Array.from({ length: 10 }, (_, i) => 0.5 + 0.05 * i);
const RECALLS = Array.from({ length: 101 }, (_, i) => i / 100);
const MAX_FOUND = [1, 10, 100] as const;
const AREAS = { all: [0, 1e10], small: [0, 32 ** 2], medium: [32 ** 2, 96 ** 2], large: [96 ** 2, 1e10] } as const;
export type AreaRange = keyof typeof AREAS;
const AREA_NAMES = Object.keys(AREAS) as AreaRange[];

/** One category of one image within an area range. */
interface Evaluated {
  /** Of those that were found, the surest first. */
  readonly scores: readonly number[];
  /** By threshold: 1 where it is matched. */
  readonly matched: readonly Uint8Array[];
  /** By threshold: 1 where it does not count. */
  readonly ignored: readonly Uint8Array[];
  /** Instances that were to be found. */
  readonly truths: number;
}

export interface AveragePrecisionScores {
  /** Mean over thresholds from 0.5 to 0.95 and over categories. NaN where there is nothing to find. */
  readonly ap: number;
  readonly ap50: number;
  readonly ap75: number;
  readonly apSmall: number;
  readonly apMedium: number;
  readonly apLarge: number;
  /** Average recall with at most 1, 10 and 100 instances an image. */
  readonly ar1: number;
  readonly ar10: number;
  readonly ar100: number;
  readonly arSmall: number;
  readonly arMedium: number;
  readonly arLarge: number;
  readonly perCategory: Readonly<Record<number, number>>;
}

/** Indices from the largest key to the smallest; equal ones keep their order. */
const byFalling = (keys: readonly number[]): number[] =>
  keys.map((_, i) => i).sort((a, b) => keys[b] - keys[a] || a - b);

/** COCO's average precision of masks, over any number of images. */
export class AveragePrecision {
  /** By category and area range. */
  readonly #images = new Map<string, Evaluated[]>();

  /** Counts an image. @throws when masks have other sizes, or a score is no number; then nothing is counted */
  add(found: readonly FoundInstance[], truth: readonly TrueInstance[]): this {
    const bad = found.find(({ score }) => !Number.isFinite(score));
    if (bad !== undefined)
      throw new Error(
        `AveragePrecision: scores are numbers; got ${bad.score} for category ${bad.category}; leave the instance out`,
      );
    const added: [string, Evaluated][] = [];
    for (const category of new Set([...found, ...truth].map((instance) => instance.category))) {
      const guesses = found.filter((each) => each.category === category);
      const kept = byFalling(guesses.map(({ score }) => score)).slice(0, MAX_FOUND[2]).map((i) => guesses[i]); // biome-ignore format: one line
      const real = truth.filter((each) => each.category === category);
      const ious = kept.map(({ mask }) => real.map((each) => maskIou(mask, each.mask, each.isCrowd)));
      for (const area of AREA_NAMES) added.push([`${category} ${area}`, evaluate(kept, real, ious, AREAS[area])]);
    }
    for (const [key, evaluated] of added) this.#images.set(key, [...(this.#images.get(key) ?? []), evaluated]);
    return this;
  }

  merge(other: AveragePrecision): this {
    for (const [key, images] of other.#images) this.#images.set(key, [...(this.#images.get(key) ?? []), ...images]);
    return this;
  }

  get #categories(): number[] {
    return [...new Set([...this.#images.keys()].map((key) => Number(key.split(' ')[0])))].sort((a, b) => a - b);
  }

  /** @source pycocotools COCOeval.accumulate, summarize */
  scores(): AveragePrecisionScores {
    const categories = this.#categories;
    const curves = (area: AreaRange, most: number) =>
      categories.map((category) => accumulate(this.#images.get(`${category} ${area}`) ?? [], most));
    const all = curves('all', 100);
    const precision = (curve: readonly (Curve | undefined)[], only?: number) =>
      meanThere(curve.flatMap((each) => each?.precision.filter((_, t) => only === undefined || t === only) ?? []));
    const recall = (area: AreaRange, most: number) =>
      meanThere(curves(area, most).flatMap((each) => each?.recall ?? []));
    return {
      ap: precision(all),
      ap50: precision(all, 0),
      ap75: precision(all, 5),
      apSmall: precision(curves('small', 100)),
      apMedium: precision(curves('medium', 100)),
      apLarge: precision(curves('large', 100)),
      ar1: recall('all', 1),
      ar10: recall('all', 10),
      ar100: recall('all', 100),
      arSmall: recall('small', 100),
      arMedium: recall('medium', 100),
      arLarge: recall('large', 100),
      perCategory: Object.fromEntries(categories.map((category, i) => [category, precision([all[i]])])),
    };
  }
}

const meanThere = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

const isOutside = (area: number, [low, high]: readonly [number, number]): boolean => area < low || area > high;

/** Matches what was found with the truth, the surest first, each with the best that is left; those that do not count come last.
 * @source pycocotools COCOeval.evaluateImg */
function evaluate(
  found: readonly FoundInstance[],
  truth: readonly TrueInstance[],
  ious: readonly (readonly number[])[],
  range: readonly [number, number],
): Evaluated {
  const skipped = truth.map(({ mask, area = areaOf(mask), isCrowd = false }) => isCrowd || isOutside(area, range));
  const order = truth.map((_, i) => i).sort((a, b) => Number(skipped[a]) - Number(skipped[b]) || a - b);
  const matched = IOU_THRESHOLDS.map(() => new Uint8Array(found.length));
  const ignored = IOU_THRESHOLDS.map(() => new Uint8Array(found.length));
  IOU_THRESHOLDS.forEach((threshold, t) => {
    const taken = new Uint8Array(truth.length);
    found.forEach(({ mask }, d) => {
      const best = bestMatch(ious[d], { truth, order, skipped, taken, threshold });
      if (best < 0) ignored[t][d] = Number(isOutside(areaOf(mask), range));
      else {
        matched[t][d] = 1;
        ignored[t][d] = Number(skipped[best]);
        taken[best] = 1;
      }
    });
  });
  return { scores: found.map(({ score }) => score), matched, ignored, truths: skipped.filter((each) => !each).length };
}

interface Candidates {
  readonly truth: readonly TrueInstance[];
  readonly order: readonly number[];
  readonly skipped: readonly boolean[];
  readonly taken: Uint8Array;
  readonly threshold: number;
}

function bestMatch(ious: readonly number[], { truth, order, skipped, taken, threshold }: Candidates): number {
  let [best, least] = [-1, Math.min(threshold, 1 - 1e-10)];
  for (const g of order) {
    // Crowds may be matched again and again.
    if (taken[g] && !truth[g].isCrowd) continue;
    // Behind those that count nothing is better than a match that does.
    if (best >= 0 && !skipped[best] && skipped[g]) break;
    if (ious[g] < least) continue;
    [best, least] = [g, ious[g]];
  }
  return best;
}

interface Curve {
  /** By threshold: the mean precision over the recalls. */
  readonly precision: readonly number[];
  /** By threshold: the recall of all that was found. */
  readonly recall: readonly number[];
}

/** Undefined where there is nothing to find. */
function accumulate(images: readonly Evaluated[], most: number): Curve | undefined {
  const truths = images.reduce((sum, image) => sum + image.truths, 0);
  if (truths === 0) return undefined;
  const all = images.flatMap((image) => image.scores.slice(0, most).map((score, d) => ({ score, image, d })));
  const order = byFalling(all.map(({ score }) => score));
  const curves = IOU_THRESHOLDS.map((_, t) => {
    const counted = order.map((i) => all[i]).filter(({ image, d }) => image.ignored[t][d] === 0);
    return curveOf(
      counted.map(({ image, d }) => image.matched[t][d] === 1),
      truths,
    );
  });
  return { precision: curves.map(({ precision }) => precision), recall: curves.map(({ recall }) => recall) };
}

/** Keeps a precision finite. @source numpy.spacing(1) in COCOeval */
const SPACING = 2 ** -52;

function curveOf(right: readonly boolean[], truths: number): { precision: number; recall: number } {
  const recalls: number[] = [];
  const precisions: number[] = [];
  let hits = 0;
  right.forEach((isRight, i) => {
    if (isRight) hits++;
    recalls.push(hits / truths);
    precisions.push(hits / (i + 1 + SPACING));
  });
  // What is reached at a higher recall is reached at a lower one too.
  for (let i = precisions.length - 1; i > 0; i--) precisions[i - 1] = Math.max(precisions[i - 1], precisions[i]);
  let at = 0;
  let sum = 0;
  for (const recall of RECALLS) {
    while (at < recalls.length && recalls[at] < recall) at++;
    sum += precisions[at] ?? 0;
  }
  return { precision: sum / RECALLS.length, recall: recalls.at(-1) ?? 0 };
}
