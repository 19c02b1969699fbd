import { reshape, slice, type Tensor2D, type Tensor3D, tidy, transpose } from '@tensorflow/tfjs-core';
import type { Prediction } from '../outputs.ts';

/** What the queries of one image say of the classes, on the host. */
export interface QueryClasses {
  readonly queries: number;
  /** Without "no object". */
  readonly classes: number;
  /** [Q, V + 1], row by row; rows sum to 1. */
  readonly probabilities: Float32Array<ArrayBuffer>;
}

/** @throws unless each of them is from 0 to 1 */
export function checkThresholds(where: string, thresholds: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(thresholds)) {
    if (value >= 0 && value <= 1) continue;
    throw new Error(`${where}: ${name} is from 0 to 1; got ${value}; it is a probability or a share`);
  }
}

function checkShapes(where: string, { classQueriesLogits, masksQueriesLogits }: Prediction): void {
  const [classes, masks] = [classQueriesLogits.shape as number[], masksQueriesLogits.shape as number[]];
  const ranks = classes.length === 3 && masks.length === 4;
  if (ranks && classes[0] === masks[0] && classes[1] === masks[1] && classes[2] >= 2 && !masks.includes(0)) return;
  throw new Error(
    `${where}: class logits are [B, Q, V + 1] and mask logits [B, Q, H, W]; got [${classes}] and [${masks}]; give what the model returned`,
  );
}

/** @throws by image and query when a value is not finite */
function checkFinite(where: string, what: string, values: ArrayLike<number>, shape: readonly number[]): void {
  const [, Q, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    const query = Math.floor(i / size);
    throw new Error(
      `${where}: logits are finite; got ${values[i]} in the ${what} logits of image ${Math.floor(query / Q)}, query ${query % Q}; look at the weights and the input`,
    );
  }
}

/** In double precision, so that six digits of a score are right. */
function softmax(logits: ArrayLike<number>, width: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(logits.length);
  for (let row = 0; row < logits.length; row += width) {
    let largest = -Infinity;
    for (let i = row; i < row + width; i++) largest = Math.max(largest, logits[i]);
    let total = 0;
    for (let i = row; i < row + width; i++) total += Math.exp(logits[i] - largest);
    for (let i = row; i < row + width; i++) out[i] = Math.exp(logits[i] - largest) / total;
  }
  return out;
}

/** Checks the model's output and reads the classes of each image's queries.
 * @throws when shapes do not belong together or a logit is not finite: by image and query */
export async function readClasses(where: string, prediction: Prediction): Promise<QueryClasses[]> {
  checkShapes(where, prediction);
  const { classQueriesLogits, masksQueriesLogits } = prediction;
  const [B, Q, width] = classQueriesLogits.shape;
  const logits = await classQueriesLogits.data();
  checkFinite(where, 'class', logits, classQueriesLogits.shape);
  // On the host, since backends do not agree on what the largest of NaN is.
  checkFinite(where, 'mask', await masksQueriesLogits.data(), masksQueriesLogits.shape);
  return Array.from({ length: B }, (_, image) => ({
    queries: Q,
    classes: width - 1,
    probabilities: softmax(logits.subarray(image * Q * width, (image + 1) * Q * width), width),
  }));
}

/** One image's mask logits, queries last. @shape -> [H, W, Q] */
export function maskLogits({ masksQueriesLogits }: Prediction, image: number): Tensor3D {
  return tidy(() => {
    const [, Q, H, W] = masksQueriesLogits.shape;
    const masks_QP: Tensor2D = reshape(slice(masksQueriesLogits, [image, 0, 0, 0], [1, Q, H, W]), [Q, H * W]);
    return reshape(transpose(masks_QP), [H, W, Q]);
  });
}
