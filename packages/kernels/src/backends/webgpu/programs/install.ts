import {
  _FusedMatMul,
  BatchMatMul,
  Conv2D,
  FusedConv2D,
  GatherV2,
  getKernel,
  type KernelConfig,
  registerKernel,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { type KernelCall, wrapKernel } from '../../../wrapped-kernel.ts';
import type { CheckedWebGPUBackend } from '../checked-backend.ts';
import { attention } from './attention.ts';
import { canConvolve, convolve, type Geometry } from './convolution.ts';
import { deformableAttention } from './deformable-attention.ts';
import { elementwise, geglu } from './elementwise.ts';
import { groupNorm, layerNorm } from './normalisation.ts';
import { canMultiply, multiply } from './products.ts';
import type { Call } from './program.ts';
import { canPickRows, rowsOfTable } from './rows.ts';

interface MatMulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly activation?: string;
}

interface ConvolutionAttributes extends Geometry {
  readonly dataFormat?: string;
  readonly dimRoundingMode?: string;
  readonly activation?: string;
}

const backendOf = ({ backend }: KernelCall): Call['backend'] => backend as Call['backend'];
const isPlain = ({ activation }: { activation?: string }): boolean =>
  activation === undefined || activation === 'linear';

/** Whether there is no bias, or one value of it for each output: TensorFlow.js broadcasts others. */
const hasOneForEach = (outputs: number, bias: TensorInfo | null | undefined): boolean =>
  bias == null || (bias.shape.length === 1 && bias.shape[0] === outputs);

/** Rows that one matrix may have: a workgroup takes 64 of them in a large product. */
const MOST_ROWS = 64 * 65_535;

function matMul(call: KernelCall): TensorInfo | undefined {
  const attrs = call.attrs as unknown as MatMulAttributes;
  const { a, b, bias } = call.inputs as Record<string, TensorInfo | undefined> & { a: TensorInfo; b: TensorInfo };
  if (attrs.transposeA || !isPlain(attrs) || !hasOneForEach(b.shape.at(attrs.transposeB ? -2 : -1)!, bias))
    return undefined;
  const [rows, inner] = a.shape.slice(-2) as [number, number];
  const batch = a.shape.slice(0, -2);
  // Matrices that do not fit are refused by TensorFlow.js's kernel.
  if (b.shape.length > a.shape.length || inner !== b.shape.at(attrs.transposeB ? -1 : -2)) return undefined;
  const isShared = util.sizeFromShape(b.shape.slice(0, -2)) === 1;
  if (!isShared && !util.arraysEqual(batch, b.shape.slice(0, -2))) return undefined;
  const images = util.sizeFromShape(batch);
  const isTall = isShared && images * rows <= MOST_ROWS;
  const product = {
    // Matrices that share their weights are one tall matrix.
    x: { ...a, shape: isTall ? [1, images * rows, inner] : [images, rows, inner] },
    weight: { ...b, shape: [isShared ? 1 : images, ...b.shape.slice(-2)] },
    transposed: attrs.transposeB,
    ...(bias != null && { bias }),
  };
  if (!canMultiply(product)) return undefined;
  return { ...multiply(backendOf(call), product), shape: [...batch, rows, b.shape.at(attrs.transposeB ? -2 : -1)!] };
}

function conv2d(call: KernelCall): TensorInfo | undefined {
  const attrs = call.attrs as unknown as ConvolutionAttributes;
  const { x, filter, bias } = call.inputs as Record<string, TensorInfo | undefined> & {
    x: TensorInfo;
    filter: TensorInfo;
  };
  if (!isPlain(attrs) || (attrs.dataFormat ?? 'NHWC') !== 'NHWC' || Array.isArray(attrs.pad)) return undefined;
  if (attrs.dimRoundingMode != null || !hasOneForEach(filter.shape[3]!, bias)) return undefined;
  const convolution = { x, weight: filter, ...(bias != null && { bias }) };
  if (!canConvolve(convolution)) return undefined;
  return convolve(backendOf(call), convolution, attrs);
}

/** Rows of a packed table; all others are TensorFlow.js's to gather. */
function gatherRows(call: KernelCall): TensorInfo | undefined {
  const { x, indices } = call.inputs as Record<'x' | 'indices', TensorInfo>;
  const { axis, batchDims } = call.attrs as unknown as { axis: number; batchDims: number };
  const table = backendOf(call).packedOf(x);
  if (table === undefined || !canPickRows(table) || axis !== 0 || batchDims !== 0) return undefined;
  if (util.sizeFromShape(indices.shape) === 0 || !util.arraysEqual(x.shape, [...table.shape])) return undefined;
  return rowsOfTable(backendOf(call), table, indices);
}

type Own = (call: never) => TensorInfo | TensorInfo[];

/** The kernels that TensorFlow.js has no name for. An op composes its result where the answer is empty. */
const OWN: Readonly<Record<string, Own>> = {
  RassAttention: attention,
  RassGroupNorm: groupNorm,
  RassLayerNorm: layerNorm,
  RassSilu: elementwise('silu'),
  RassGelu: elementwise('gelu'),
  RassQuickGelu: elementwise('quickGelu'),
  RassGeglu: geglu,
  ...deformableAttention,
};

/** Whether our shaders are to compute, and can: they read floats, and have nothing to do without values. */
const isOurs = ({ backend, inputs }: KernelCall): boolean =>
  (backend as CheckedWebGPUBackend).fused &&
  Object.values(inputs as Record<string, TensorInfo | null | undefined>).every(
    (input) => input == null || (input.dtype === 'float32' && util.sizeFromShape(input.shape) > 0),
  );

/** Puts our shaders before TensorFlow.js's, and before what ops are composed of. Idempotent. */
export function installPrograms(backendName: string): void {
  for (const name of [BatchMatMul, _FusedMatMul]) {
    wrapKernel(name, backendName, (call) => (isOurs(call) ? matMul(call) : undefined));
  }
  for (const name of [Conv2D, FusedConv2D]) {
    wrapKernel(name, backendName, (call) => (isOurs(call) ? conv2d(call) : undefined));
  }
  wrapKernel(GatherV2, backendName, gatherRows);
  for (const [kernelName, own] of Object.entries(OWN)) {
    if (getKernel(kernelName, backendName) !== undefined) continue;
    const kernelFunc: KernelConfig['kernelFunc'] = (call) => (isOurs(call) ? own(call as never) : []);
    registerKernel({ kernelName, backendName, kernelFunc });
  }
}
