import {
  BatchMatMul,
  broadcast_util,
  broadcastTo,
  concat,
  reshape,
  slice,
  type Tensor,
  transpose,
  util,
} from '@tensorflow/tfjs-core';
import type { KernelCall, KernelInputs, RepairedKernel } from './definition.ts';
import { copied } from './wasm-memory.ts';

const batchOf = ({ shape }: Tensor): number[] => shape.slice(0, -2);

const batchSize = (x: Tensor): number => util.sizeFromShape(batchOf(x));

/** The kernels count batches modulo each side's number, which is right for equal batches and for a single one only. */
function mixesBatches({ inputs: { a, b } }: KernelInputs): boolean {
  return batchSize(a) !== 1 && batchSize(b) !== 1 && !util.arraysEqual(batchOf(a), batchOf(b));
}

function withEqualBatches(a: Tensor, b: Tensor): { a: Tensor; b: Tensor } {
  const batch = broadcast_util.assertAndGetBroadcastShape(batchOf(a), batchOf(b));
  const whole = (x: Tensor): Tensor => broadcastTo(x, [...batch, ...x.shape.slice(-2)]);
  return { a: whole(a), b: whole(b) };
}

interface MatMulAttrs {
  transposeA: boolean;
  transposeB: boolean;
}

/** How XNNPACK packed the values of a second matrix: rows, columns. It finds them again by the values alone, whatever their shape is then. */
const packedAs = new WeakMap<object, readonly [rows: number, columns: number]>();

/** A second matrix that XNNPACK takes as it is: itself, or a copy where its values were packed under another shape. */
function asPacked(b: Tensor): Tensor {
  const [rows, columns] = b.shape.slice(-2);
  const known = packedAs.get(b.dataId);
  if (known === undefined) packedAs.set(b.dataId, [rows, columns]);
  return known === undefined || known[0] === rows ? b : copied(b);
}

/** Below about so many multiplications the plain loops of wasm are done before XNNPACK has been set up. */
const fewMultiplications = 32_768;

/** Whether wasm has XNNPACK for a product: one of matrices as they lie. It has plain loops, ten times slower, for all others. */
function isPlain({ inputs: { a, b }, attrs }: KernelInputs): boolean {
  const { transposeA, transposeB } = attrs as unknown as MatMulAttrs;
  return !transposeA && !transposeB && batchSize(a) === 1 && batchSize(b) === 1;
}

/** Whether a product is worth being taken apart into plain ones, or must be. */
function isWorthPlain(call: KernelInputs): boolean {
  const { a, b } = call.inputs;
  const { transposeA } = call.attrs as unknown as MatMulAttrs;
  const inner = a.shape[transposeA ? a.rank - 2 : a.rank - 1];
  const perBatch = (a.size / batchSize(a)) * (b.size / batchSize(b) / inner);
  return mixesBatches(call) || perBatch >= fewMultiplications;
}

const swapped = (x: Tensor): Tensor =>
  transpose(
    x,
    [...x.shape.keys()].map((axis) => (axis < x.rank - 2 ? axis : 2 * x.rank - 3 - axis)),
  );

/** The same products, one plain matrix product each. */
function byPlainProducts({ inputs, attrs, original }: KernelCall): Tensor {
  const { transposeA, transposeB } = attrs as unknown as MatMulAttrs;
  const batch = broadcast_util.assertAndGetBroadcastShape(batchOf(inputs.a), batchOf(inputs.b));
  const count = util.sizeFromShape(batch);
  const plain = (a: Tensor, b: Tensor): Tensor =>
    original({ inputs: { a, b: asPacked(b) }, attrs: { transposeA: false, transposeB: false } });
  let a = transposeA ? swapped(inputs.a) : inputs.a;
  let b = transposeB ? swapped(inputs.b) : inputs.b;
  const [rows, inner, columns] = [a.shape[a.rank - 2], a.shape[a.rank - 1], b.shape[b.rank - 1]];
  const shape = [...batch, rows, columns];
  if (batchSize(b) === 1) return reshape(plain(reshape(a, [-1, inner]), reshape(b, [inner, columns])), shape);
  if (mixesBatches({ inputs: { a, b }, attrs })) ({ a, b } = withEqualBatches(a, b));
  const [allA, allB] = [reshape(a, [-1, rows, inner]), reshape(b, [count, inner, columns])];
  const products = Array.from({ length: count }, (_, i) => {
    const first = reshape(slice(allA, [allA.shape[0] === 1 ? 0 : i, 0, 0], [1, rows, inner]), [rows, inner]);
    return plain(first, reshape(slice(allB, [i, 0, 0], [1, inner, columns]), [inner, columns]));
  });
  return reshape(products.length === 1 ? products[0] : concat(products, 0), shape);
}

function wasmProduct(call: KernelCall): Tensor {
  const { inputs, original } = call;
  if (isPlain(call)) return original({ inputs: { ...inputs, b: asPacked(inputs.b) } });
  return isWorthPlain(call) ? byPlainProducts(call) : original();
}

/** Repairs of matrix products. */
export const repairedMatMul: RepairedKernel[] = [
  {
    kernel: BatchMatMul,
    backends: ['cpu', 'webgpu'],
    applies: mixesBatches,
    run: ({ inputs: { a, b }, original }) => original({ inputs: withEqualBatches(a, b) }),
  },
  { kernel: BatchMatMul, backends: ['wasm'], run: wasmProduct },
];
