import { sineCosine } from '../random/portable-math.ts';

/** Orders 0 and 4 are left without their factor, so that sums of whole numbers stay whole, as do halves of steps: see TRANSFORM_SCALE. */
const wave = (n: number): number => sineCosine((n * Math.PI) / 16).cosine / 2;
const [C1, C2, C3, C4, C5, C6, C7] = [1, 2, 3, 4, 5, 6, 7].map(wave);

/** What brings each number of a transform to that of the orthonormal one, both ways. */
export const TRANSFORM_SCALE: readonly number[] = Array.from({ length: 64 }, (_, i) => {
  const bare = [i >> 3, i & 7].filter((order) => order % 4 === 0).length;
  return [1, C4, 1 / 8][bare];
});

function forwardLine(block: Float64Array, at: number, step: number): void {
  const [p1, p2, p3] = [at + step, at + 2 * step, at + 3 * step];
  const [p4, p5, p6, p7] = [p3 + step, p3 + 2 * step, p3 + 3 * step, p3 + 4 * step];
  const [e0, e1, e2, e3] = [block[at] + block[p7], block[p1] + block[p6], block[p2] + block[p5], block[p3] + block[p4]];
  const [o0, o1, o2, o3] = [block[at] - block[p7], block[p1] - block[p6], block[p2] - block[p5], block[p3] - block[p4]];
  block[at] = e0 + e1 + e2 + e3;
  block[p4] = e0 - e1 - e2 + e3;
  block[p2] = C2 * (e0 - e3) + C6 * (e1 - e2);
  block[p6] = C6 * (e0 - e3) - C2 * (e1 - e2);
  block[p1] = C1 * o0 + C3 * o1 + C5 * o2 + C7 * o3;
  block[p3] = C3 * o0 - C7 * o1 - C1 * o2 - C5 * o3;
  block[p5] = C5 * o0 - C1 * o1 + C7 * o2 + C3 * o3;
  block[p7] = C7 * o0 - C5 * o1 + C3 * o2 - C1 * o3;
}

function inverseLine(block: Float64Array, at: number, step: number): void {
  const [p1, p2, p3] = [at + step, at + 2 * step, at + 3 * step];
  const [p4, p5, p6, p7] = [p3 + step, p3 + 2 * step, p3 + 3 * step, p3 + 4 * step];
  const [x1, x3, x5, x7] = [block[p1], block[p3], block[p5], block[p7]];
  const [sum, difference] = [block[at] + block[p4], block[at] - block[p4]];
  const [outer, inner] = [C2 * block[p2] + C6 * block[p6], C6 * block[p2] - C2 * block[p6]];
  const [e0, e1, e2, e3] = [sum + outer, difference + inner, difference - inner, sum - outer];
  const o0 = C1 * x1 + C3 * x3 + C5 * x5 + C7 * x7;
  const o1 = C3 * x1 - C7 * x3 - C1 * x5 - C5 * x7;
  const o2 = C5 * x1 - C1 * x3 + C7 * x5 + C3 * x7;
  const o3 = C7 * x1 - C5 * x3 + C3 * x5 - C1 * x7;
  block[at] = e0 + o0;
  block[p7] = e0 - o0;
  block[p1] = e1 + o1;
  block[p6] = e1 - o1;
  block[p2] = e2 + o2;
  block[p5] = e2 - o2;
  block[p3] = e3 + o3;
  block[p4] = e3 - o3;
}

/** The cosine transform of a block of 8 x 8, in place: times TRANSFORM_SCALE it is the orthonormal one. */
export function cosineTransform(block: Float64Array): void {
  for (let i = 0; i < 8; i++) forwardLine(block, 8 * i, 1);
  for (let i = 0; i < 8; i++) forwardLine(block, i, 8);
}

/** Undoes the orthonormal transform, whose numbers have been multiplied by TRANSFORM_SCALE. */
export function inverseCosineTransform(block: Float64Array): void {
  for (let i = 0; i < 8; i++) inverseLine(block, i, 8);
  for (let i = 0; i < 8; i++) inverseLine(block, 8 * i, 1);
}
