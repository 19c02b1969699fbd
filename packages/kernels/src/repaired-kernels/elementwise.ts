import {
  Cast,
  Cumprod,
  Cumsum,
  greaterEqual,
  Identity,
  MirrorPad,
  mul,
  onesLike,
  PadV2,
  Prelu,
  pad,
  Round,
  reshape,
  reverse,
  scalar,
  type Tensor,
  util,
  where,
} from '@tensorflow/tfjs-core';
import { type KernelCall, type KernelInputs, nativeName, type RepairedKernel } from './definition.ts';

type Pairs = [number, number][];

/** The highest rank that WebGPU's padding and running sums are written for. */
const webgpuRank = 4;

const isReversed = ({ attrs }: KernelInputs): boolean => attrs.reverse === true;

const countsFromTheEnd = ({ attrs }: KernelInputs): boolean => (attrs.axis as number) < 0;

function withPositiveAxis({ inputs, attrs, original }: KernelCall): Tensor {
  return original({ attrs: { ...attrs, axis: inputs.x.rank + (attrs.axis as number) } });
}

/** A running sum or product from the front only, on three axes. */
function forwardOnRows({ inputs: { x }, attrs, original }: KernelCall): Tensor {
  const axis = util.parseAxisParam(attrs.axis as number, x.shape)[0];
  const outer = util.sizeFromShape(x.shape.slice(0, axis));
  const rows = reshape(x, [outer, x.shape[axis], -1]);
  const turned = attrs.reverse === true;
  const result = original({
    inputs: { x: turned ? reverse(rows, 1) : rows },
    attrs: { ...attrs, axis: 1, reverse: false },
  });
  return reshape(turned ? reverse(result, 1) : result, x.shape);
}

/** Pads on fewer axes: axes that are not padded join the one in front of them. */
function padOnFewerAxes({ inputs: { x }, attrs, original }: KernelCall): Tensor {
  const paddings = attrs.paddings as Pairs;
  const value = attrs.constantValue as number;
  const padded = paddings.flatMap(([before, after], axis) => (before + after > 0 ? [axis] : []));
  if (padded.length >= webgpuRank) {
    // Two passes, the second of which has few enough axes or comes here again.
    const isFirst = (axis: number): boolean => padded.indexOf(axis) < webgpuRank - 1;
    const part = (first: boolean): Pairs =>
      paddings.map((pair, axis): [number, number] => (isFirst(axis) === first ? pair : [0, 0]));
    return pad(pad(x, part(true), value), part(false), value);
  }
  const starts = [0, ...padded.filter((axis) => axis > 0)];
  const size = (from: number, to?: number): number => util.sizeFromShape(x.shape.slice(from, to));
  const joined = starts.map((start, i) => size(start, starts[i + 1]));
  const joinedPaddings = starts.map((start, i): [number, number] => {
    const inner = size(start + 1, starts[i + 1]);
    return [paddings[start][0] * inner, paddings[start][1] * inner];
  });
  const result = original({ inputs: { x: reshape(x, joined) }, attrs: { ...attrs, paddings: joinedPaddings } });
  return reshape(
    result,
    x.shape.map((length, axis) => length + paddings[axis][0] + paddings[axis][1]),
  );
}

/** Mirrors one axis after the other, each on three axes. */
function mirrorAxisByAxis({ inputs: { x }, attrs, original }: KernelCall): Tensor {
  return (attrs.paddings as Pairs).reduce((padded, [before, after], axis) => {
    if (before + after === 0) return padded;
    const { shape } = padded;
    const rows = reshape(padded, [util.sizeFromShape(shape.slice(0, axis)), shape[axis], -1]);
    const result = original({
      inputs: { x: rows },
      attrs: {
        ...attrs,
        paddings: [
          [0, 0],
          [before, after],
          [0, 0],
        ],
      },
    });
    return reshape(
      result,
      shape.map((length, i) => (i === axis ? length + before + after : length)),
    );
  }, x);
}

/** XNNPACK counts through the weights again and again, which is right where they are values of the last axes. */
function weightsLieAcross({ inputs: { x, alpha } }: KernelInputs): boolean {
  const leading = alpha.shape.findIndex((size) => size !== 1);
  if (leading < 0) return false;
  const used = alpha.shape.slice(leading);
  return !util.arraysEqual(used, x.shape.slice(-used.length)) || x.rank < used.length;
}

/** wasm keeps its paddings by value, and finds NaN for every number and every number for NaN. */
function padWithNaN({ inputs: { x }, attrs }: KernelCall): Tensor {
  const paddings = attrs.paddings as Pairs;
  return where(greaterEqual(pad(onesLike(x), paddings), 1), pad(x, paddings), scalar(Number.NaN));
}

/** Repairs of conversion, padding and running sums. */
export const repairedElementwise: RepairedKernel[] = [
  {
    // WebGPU only renames the type; a transposition, for one, then reads integers where it was told of floats.
    kernel: Cast,
    backends: ['webgpu'],
    applies: ({ inputs: { x }, attrs }) => attrs.dtype === 'float32' && (x.dtype === 'int32' || x.dtype === 'bool'),
    run: ({ original }) => mul(original(), 1),
  },
  {
    // wasm copies the data, and each tensor that is saved for a gradient is such a second handle.
    kernel: Identity,
    backends: ['wasm'],
    applies: ({ inputs: { x } }) => x.dtype !== 'string',
    run: ({ inputs: { x } }) => reshape(x, x.shape),
  },
  {
    // TensorFlow 2.17 and later, which the CUDA build needs, round every integer to 0.
    kernel: Round,
    backends: [nativeName],
    applies: ({ inputs: { x } }) => x.dtype === 'int32',
    run: ({ inputs: { x } }) => reshape(x, x.shape),
  },
  {
    kernel: PadV2,
    backends: ['webgpu'],
    applies: ({ inputs }) => inputs.x.rank > webgpuRank,
    run: padOnFewerAxes,
  },
  {
    kernel: PadV2,
    backends: ['wasm'],
    applies: ({ inputs: { x }, attrs }) => x.dtype === 'float32' && Number.isNaN(attrs.constantValue),
    run: padWithNaN,
  },
  {
    kernel: Prelu,
    backends: ['wasm'],
    applies: weightsLieAcross,
    run: ({ inputs: { x, alpha } }) => where(greaterEqual(x, 0), x, mul(x, alpha)),
  },
  {
    kernel: MirrorPad,
    backends: ['webgpu'],
    applies: ({ inputs }) => inputs.x.rank > webgpuRank,
    run: mirrorAxisByAxis,
  },
  ...[Cumsum, Cumprod].flatMap((kernel): RepairedKernel[] => [
    { kernel, backends: ['cpu', 'wasm'], applies: countsFromTheEnd, run: withPositiveAxis },
    {
      // WebGPU runs the shader of another length backwards: the length is in its text and not in its key.
      kernel,
      backends: ['webgpu'],
      applies: (call) => isReversed(call) || countsFromTheEnd(call) || call.inputs.x.rank > webgpuRank,
      run: forwardOnRows,
    },
  ]),
];
