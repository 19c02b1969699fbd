import { add, pad, reshape, slice, stridedSlice, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** One spatial axis of a convolution or pooling. */
export interface WindowAxis {
  /** Length of the input axis. */
  input: number;
  /** Number of window positions. */
  output: number;
  /** Taps of the window. */
  taps: number;
  stride: number;
  dilation: number;
  /** Padding in front; what lies behind follows from the other numbers. */
  before: number;
}

/** Length of the padded axis that the windows cover exactly. */
export function coveredLength({ output, taps, stride, dilation }: WindowAxis): number {
  return (output - 1) * stride + (taps - 1) * dilation + 1;
}

/** All combinations of taps, one index per axis, in the order of the filter. */
export function tapIndices(axes: readonly WindowAxis[]): number[][] {
  return axes.reduce<number[][]>(
    (found, { taps }) => found.flatMap((index) => Array.from({ length: taps }, (_, tap) => [...index, tap])),
    [[]],
  );
}

/** Pads (or crops) the spatial axes of [batch, ...space, channels] to what the windows cover. */
export function padToWindows(x: Tensor, axes: readonly WindowAxis[], value = 0): Tensor {
  const after = axes.map((axis) => coveredLength(axis) - axis.before - axis.input);
  const needed = axes.map(({ before, input }, i) => Math.min(input, input + after[i]) - Math.max(0, -before));
  const begin = axes.map(({ before }) => Math.max(0, -before));
  const cropped = after.some((length) => length < 0) || axes.some(({ before }) => before < 0);
  const inside = cropped ? slice(x, [0, ...begin, 0], [x.shape[0], ...needed, x.shape[x.rank - 1]]) : x;
  const spatial = axes.map(({ before }, i) => [Math.max(0, before), Math.max(0, after[i])]);
  if (spatial.every(([front, back]) => front === 0 && back === 0)) return inside;
  return pad(inside, [[0, 0], ...spatial, [0, 0]] as [number, number][], value);
}

/** Undoes padToWindows for a gradient: drops the padding, puts zeros where the input was cropped. */
export function unpadFromWindows(gradient: Tensor, axes: readonly WindowAxis[]): Tensor {
  const begin = axes.map(({ before }) => Math.max(0, before));
  const front = axes.map(({ before }) => Math.max(0, -before));
  const size = axes.map((axis, i) => Math.min(coveredLength(axis) - begin[i], axis.input - front[i]));
  const whole = axes.every((axis, i) => begin[i] === 0 && size[i] === coveredLength(axis));
  const [batch, channels] = [gradient.shape[0], gradient.shape[gradient.rank - 1]];
  const inside = whole ? gradient : slice(gradient, [0, ...begin, 0], [batch, ...size, channels]);
  const spatial = axes.map((axis, i) => [front[i], axis.input - front[i] - size[i]]);
  if (spatial.every(([before, after]) => before === 0 && after === 0)) return inside;
  return pad(inside, [[0, 0], ...spatial, [0, 0]] as [number, number][]);
}

/** What one tap sees of the padded input at every window position. @shape [batch, ...outputs, channels] */
export function tapValues(padded: Tensor, axes: readonly WindowAxis[], tap: readonly number[]): Tensor {
  const [batch, channels] = [padded.shape[0], padded.shape[padded.rank - 1]];
  const begin = axes.map(({ dilation }, i) => tap[i] * dilation);
  const span = axes.map(({ output, stride }) => (output - 1) * stride + 1);
  if (axes.every(({ stride }) => stride === 1)) return slice(padded, [0, ...begin, 0], [batch, ...span, channels]);
  const end = begin.map((first, i) => first + span[i]);
  return stridedSlice(padded, [0, ...begin, 0], [batch, ...end, channels], [1, ...axes.map(({ stride }) => stride), 1]);
}

/** Puts stride - 1 zeros behind every element of one axis, the last excepted. */
export function spreadAxis(x: Tensor, axis: number, stride: number): Tensor {
  if (stride === 1 || x.shape[axis] === 1) return x;
  const { shape } = x;
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const spaced = pad(reshape(x, [outer, shape[axis], 1, inner]), [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ]);
  const length = (shape[axis] - 1) * stride + 1;
  const flat = slice(reshape(spaced, [outer, shape[axis] * stride, inner]), [0, 0, 0], [outer, length, inner]);
  return reshape(
    flat,
    shape.map((size, i) => (i === axis ? length : size)),
  );
}

/** Puts stride - 1 zeros between the elements of each spatial axis. */
export function spreadByStride(x: Tensor, axes: readonly WindowAxis[]): Tensor {
  return axes.reduce((spread, { stride }, i) => spreadAxis(spread, i + 1, stride), x);
}

/** Carries what one tap gave at every position back to where it was read: the transpose of tapValues.
 * `spread` is the gradient after spreadByStride. */
export function placeTap(spread: Tensor, axes: readonly WindowAxis[], tap: readonly number[]): Tensor {
  const spatial = axes.map((axis, i) => {
    const front = tap[i] * axis.dilation;
    return [front, coveredLength(axis) - front - ((axis.output - 1) * axis.stride + 1)];
  });
  return pad(spread, [[0, 0], ...spatial, [0, 0]] as [number, number][]);
}

/** Adds up what `part` gives for each item, holding one part at a time. */
export function sumOf<Item>(items: readonly Item[], part: (item: Item) => Tensor): Tensor {
  let total: Tensor | undefined;
  for (const item of items) {
    const before = total;
    total = tidy(() => (before === undefined ? part(item) : add(before, part(item))));
    before?.dispose();
  }
  if (total === undefined) throw new Error('kernels: a window must have a tap; got none; check the filter size');
  return total;
}
