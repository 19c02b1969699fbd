import {
  backend_util,
  Conv2D,
  DepthwiseConv2dNative,
  FusedConv2D,
  FusedDepthwiseConv2D,
  prelu,
  type Tensor,
  util,
} from '@tensorflow/tfjs-core';
import type { KernelCall, KernelInputs, RepairedKernel } from './definition.ts';
import { copied, writtenShape } from './wasm-memory.ts';

type Four = [number, number, number, number];
type Pair = [number, number];
type Sides = [Pair, Pair, Pair, Pair];
type Places = number | Pair;

interface ConvolutionAttrs {
  strides: Places;
  dilations?: Places;
  pad: 'same' | 'valid' | number | Sides;
  dataFormat?: string;
}

const AXES = [0, 1] as const;

const pair = (places: Places = 1): Pair => (typeof places === 'number' ? [places, places] : places);

const attrsOf = ({ attrs }: KernelInputs): ConvolutionAttrs => attrs as unknown as ConvolutionAttrs;

/** How many rows and columns a window spans. */
function reach({ inputs: { filter }, attrs }: KernelInputs): Pair {
  const [rows, columns] = pair((attrs as unknown as ConvolutionAttrs).dilations);
  const [height, width] = filter.shape as Four;
  return [(height - 1) * rows + 1, (width - 1) * columns + 1];
}

/** XNNPACK's own sides for padding by the name 'same' are wrong where a window spans less than it is moved. */
function stepsOverPlaces(call: KernelInputs): boolean {
  const { pad, strides } = attrsOf(call);
  const [spans, steps] = [reach(call), pair(strides)];
  return pad === 'same' && AXES.some((axis) => spans[axis] < steps[axis]);
}

/** TensorFlow.js takes the columns' padding by one number for the rows', which a window that is not square makes wrong. */
function isOneNumberForTwo(call: KernelInputs): boolean {
  const { pad } = attrsOf(call);
  return typeof pad === 'number' && pad > 0 && reach(call)[0] !== reach(call)[1];
}

/** Rows and columns of zeros: [[0, 0], rows, columns, [0, 0]]. */
function sides(call: KernelInputs): Sides {
  const { strides, dilations = 1, pad } = attrsOf(call);
  if (typeof pad === 'number') {
    return [
      [0, 0],
      [pad, pad],
      [pad, pad],
      [0, 0],
    ];
  }
  const [x, filter] = [call.inputs.x.shape as Four, call.inputs.filter.shape as Four];
  const { top, bottom, left, right } = backend_util.computeConv2DInfo(x, filter, strides, dilations, pad).padInfo;
  return [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
}

/** Without a place for the window, TensorFlow.js makes a result of a negative size, or writes beside it. */
function missesWindow(call: KernelInputs): boolean {
  const { pad, dataFormat } = attrsOf(call);
  if (pad === 'same' || dataFormat === 'NCHW') return false;
  const zeros = (axis: number): number =>
    typeof pad === 'string' ? 0 : typeof pad === 'number' ? 2 * pad : pad[1 + axis][0] + pad[1 + axis][1];
  return AXES.some((axis) => call.inputs.x.shape[1 + axis] + zeros(axis) < reach(call)[axis]);
}

function refuseWindow(call: KernelInputs): never {
  const { x, filter } = call.inputs;
  throw new Error(
    `convolution: the window fits into the padded image; got a window of ${reach(call).join(' x ')} for x [${x.shape}] and filter ` +
      `[${filter.shape}], padding ${JSON.stringify(attrsOf(call).pad)}; pad more, or take a larger image`,
  );
}

function withSides(call: KernelCall): Tensor {
  if (missesWindow(call)) refuseWindow(call);
  return call.original({ attrs: { ...call.attrs, pad: sides(call) } });
}

/** wasm looks at the shape that a bias was written with. */
function asWritten(bias?: Tensor | null): Tensor | undefined {
  if (bias == null) return undefined;
  return util.arraysEqual(writtenShape(bias), bias.shape) ? bias : copied(bias);
}

function fusedOnWasm(call: KernelCall): Tensor {
  if (missesWindow(call)) refuseWindow(call);
  const { preluActivationWeights, ...inputs } = call.inputs;
  const attrs = stepsOverPlaces(call) || isOneNumberForTwo(call) ? { ...call.attrs, pad: sides(call) } : call.attrs;
  const isPrelu = attrs.activation === 'prelu';
  const y = call.original({
    inputs: { ...inputs, bias: asWritten(inputs.bias) as Tensor },
    attrs: { ...attrs, activation: isPrelu ? 'linear' : attrs.activation },
  });
  return isPrelu ? prelu(y, preluActivationWeights) : y;
}

const isMisplaced = (call: KernelInputs): boolean => isOneNumberForTwo(call) || missesWindow(call);

/** Repairs of convolutions. */
export const repairedConvolutions: RepairedKernel[] = [
  ...[Conv2D, DepthwiseConv2dNative].flatMap((kernel): RepairedKernel[] => [
    { kernel, backends: ['wasm'], applies: (call) => stepsOverPlaces(call) || isMisplaced(call), run: withSides },
    { kernel, backends: ['cpu', 'webgpu'], applies: isMisplaced, run: withSides },
  ]),
  ...[FusedConv2D, FusedDepthwiseConv2D].flatMap((kernel): RepairedKernel[] => [
    { kernel, backends: ['wasm'], run: fusedOnWasm },
    { kernel, backends: ['cpu', 'webgpu'], applies: isMisplaced, run: withSides },
  ]),
];
