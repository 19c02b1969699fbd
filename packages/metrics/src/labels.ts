/** Labels of an image, row by row. */
export interface LabelMap {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/** The label that means nothing. */
export const IGNORE_LABEL = 255;

export interface LabelRules {
  /** Classes are numbered from 0. */
  readonly classes: number;
  /** Default 255. Such pixels of the truth are left out, whatever the prediction says. */
  readonly ignore?: number;
}

/** @throws unless both maps have their size and each other's, and labels are classes, or of the truth ignored */
export function checkLabels(where: string, prediction: LabelMap, truth: LabelMap, rules: LabelRules): void {
  const { classes, ignore = IGNORE_LABEL } = rules;
  for (const [what, { width, height, data }] of Object.entries({ prediction, truth })) {
    if (data.length === width * height) continue;
    throw new Error(
      `${where}: a label map has width x height labels; got ${data.length} for ${width} x ${height} in the ${what}; give its own size`,
    );
  }
  if (prediction.width !== truth.width || prediction.height !== truth.height) {
    throw new Error(
      `${where}: prediction and truth have one size; got ${prediction.width} x ${prediction.height} and ${truth.width} x ${truth.height}; resize the prediction`,
    );
  }
  const isClass = (label: number): boolean => Number.isInteger(label) && label >= 0 && label < classes;
  for (let i = 0; i < truth.data.length; i++) {
    if (truth.data[i] === ignore) continue;
    for (const [what, label] of [
      ['truth', truth.data[i]],
      ['prediction', prediction.data[i]],
    ] as const) {
      // biome-ignore format: a pair
      if (isClass(label)) continue;
      throw new Error(
        `${where}: labels are from 0 to ${classes - 1}, or ${ignore} in the truth; got ${label} at ${i} of the ${what}; look at the label map`,
      );
    }
  }
}

/** @throws unless two accumulators count the same */
export function checkMergeable(where: string, own: object, other: object): void {
  const [a, b] = [JSON.stringify(own), JSON.stringify(other)];
  if (a === b) return;
  throw new Error(
    `${where}: shards that are merged were scored by the same rules; got ${a} and ${b}; score them again`,
  );
}

/** The mean of the numbers; those that are not, of classes that do not occur, are left out. NaN where nothing is left. */
export function meanOf(values: readonly number[]): number {
  const there = values.filter((value) => !Number.isNaN(value));
  return there.reduce((a, b) => a + b, 0) / there.length;
}
