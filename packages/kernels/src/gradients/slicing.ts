import {
  add,
  MirrorPad,
  pad,
  reshape,
  reverse,
  StridedSlice,
  slice,
  slice_util,
  type Tensor,
  util,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';
import { spreadAxis } from './windows.ts';

interface StridedSliceAttrs {
  begin: number[];
  end: number[];
  strides: number[];
  beginMask: number;
  endMask: number;
  ellipsisMask: number;
  newAxisMask: number;
  shrinkAxisMask: number;
}

/** Puts every element back to where it was read, counting from the other end where a stride is negative. */
function stridedSlice({ dy, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const a = attrs as unknown as StridedSliceAttrs;
  const { begin, end, strides } = slice_util.sliceInfo(
    shape,
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  const counts = strides.map((stride, axis) => Math.max(0, Math.ceil((end[axis] - begin[axis]) / stride)));
  const backwards = strides.flatMap((stride, axis) => (stride < 0 ? [axis] : []));
  let gradient = reshape(dy, counts);
  if (backwards.length > 0) gradient = reverse(gradient, backwards);
  strides.forEach((stride, axis) => {
    gradient = spreadAxis(gradient, axis, Math.abs(stride));
  });
  const paddings = shape.map((length, axis): [number, number] => {
    const read = (counts[axis] - 1) * Math.abs(strides[axis]) + 1;
    const first = strides[axis] < 0 ? begin[axis] - (read - 1) : begin[axis];
    return [first, length - first - read];
  });
  return pad(gradient, paddings);
}

/** Adds the mirrored borders of one axis back onto the elements that they show. */
function foldAxis(gradient: Tensor, axis: number, [front, back]: [number, number], repeatsEdge: boolean): Tensor {
  if (front === 0 && back === 0) return gradient;
  const { shape } = gradient;
  const outer = util.sizeFromShape(shape.slice(0, axis));
  const inner = util.sizeFromShape(shape.slice(axis + 1));
  const length = shape[axis] - front - back;
  const flat = reshape(gradient, [outer, shape[axis], inner]);
  const edge = repeatsEdge ? 0 : 1;
  const mirrored = (begin: number, size: number, at: number): Tensor =>
    pad(reverse(slice(flat, [0, begin, 0], [outer, size, inner]), 1), [
      [0, 0],
      [at, length - at - size],
      [0, 0],
    ]);
  let folded: Tensor = slice(flat, [0, front, 0], [outer, length, inner]);
  if (front > 0) folded = add(folded, mirrored(0, front, edge));
  if (back > 0) folded = add(folded, mirrored(front + length, back, length - back - edge));
  return reshape(
    folded,
    shape.map((size, i) => (i === axis ? length : size)),
  );
}

function mirrorPad({ dy, attrs }: GradientContext): Tensor {
  const { paddings, mode } = attrs as unknown as { paddings: [number, number][]; mode: string };
  return paddings.reduce<Tensor>((gradient, pair, axis) => foldAxis(gradient, axis, pair, mode === 'symmetric'), dy);
}

/** Slices with strides, and padding by reflection. */
export const slicingGradients: KernelGradient[] = [
  { kernel: StridedSlice, inputs: { x: { gradient: stridedSlice } } },
  { kernel: MirrorPad, inputs: { x: { gradient: mirrorPad } } },
];
