import { type Conv2d, conv2d } from '@rass/nn';
import { add, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { Work } from '../work.ts';
import { type Bands, freeAbove, takeRows } from './bands.ts';
import type { BandContext } from './context.ts';

export interface BandConvolution {
  readonly conv: Conv2d;
  /** Done to the rows before the convolution; it must treat each pixel by itself. */
  readonly prepare?: (rows_BHWC: Tensor4D) => Tensor4D;
  /** Added to the result, and freed row by row as it is used. */
  readonly skip?: Bands;
  /** A 1x1 convolution of the same rows as they were before, so that they need not be kept for it. */
  readonly beside?: { readonly conv: Conv2d; readonly into: Bands };
  /** Leave x as it is; else it is freed row by row as it is used. */
  readonly keep?: boolean;
}

interface Rows {
  readonly from: number;
  readonly to: number;
}

interface Geometry {
  readonly kernel: number;
  readonly stride: number;
  readonly top: number;
  readonly columns: readonly [number, number];
  readonly input: { readonly height: number; readonly width: number };
  readonly output: { readonly height: number; readonly width: number };
}

function geometryOf({ height, width }: Bands, { conv }: BandConvolution): Geometry {
  const { stride, padding } = conv;
  const [rows, columns] =
    typeof padding === 'number' ? [[padding, padding] as const, [padding, padding] as const] : padding;
  const input = { height, width };
  const kernel = conv.weight.shape[0];
  const after = (size: number, [before, behind]: readonly [number, number]): number =>
    Math.floor((size + before + behind - kernel) / stride) + 1;
  const output = { height: after(input.height, rows), width: after(input.width, columns) };
  return { kernel, stride, top: rows[0], columns, input, output };
}

/** What to throw where not even one row fits. */
export function tooNarrow(path: string, least: number, maxTensorBytes: number): Error {
  return new Error(
    `${path}: a band of one row takes tensors of ${least} bytes; got maxTensorBytes ${maxTensorBytes}; raise it, or make the image narrower`,
  );
}

/** How many rows to make at a time, so that neither what goes in, with its neighbours, nor what comes out is over the limit. */
function rowsAtATime(
  g: Geometry,
  { conv, skip, beside }: BandConvolution,
  path: string,
  maxTensorBytes: number,
): number {
  const [, , inputs, outputs] = conv.weight.shape;
  // With the columns of zeros, which some bands have to be copied between.
  const inputRow = 4 * (g.input.width + g.columns[0] + g.columns[1]) * inputs;
  const outputRow = 4 * g.output.width * Math.max(outputs, skip?.channels ?? 0, beside?.into.channels ?? 0);
  const byInput = Math.floor((Math.floor(maxTensorBytes / inputRow) - g.kernel) / g.stride) + 1;
  const rows = Math.min(byInput, Math.floor(maxTensorBytes / outputRow), g.output.height);
  if (rows < 1) throw tooNarrow(path, Math.max(g.kernel * inputRow, outputRow), maxTensorBytes);
  return rows;
}

/** The rows that go into the result's rows, and the zeros above and below them. */
function inputRows({ from, to }: Rows, g: Geometry): Rows & { padding: readonly [number, number] } {
  const first = from * g.stride - g.top;
  const end = (to - 1) * g.stride - g.top + g.kernel;
  const inside = { from: Math.max(0, first), to: Math.min(g.input.height, end) };
  return { ...inside, padding: [inside.from - first, end - inside.to] };
}

function convolvedRows(x: Bands, spec: BandConvolution, g: Geometry, rows: Rows): Tensor4D {
  const { conv, prepare, skip } = spec;
  return tidy(() => {
    const need = inputRows(rows, g);
    const y = tidy(() => {
      const seen = takeRows(x, need.from, need.to);
      return conv2d({ ...conv, padding: [need.padding, g.columns] }, prepare?.(seen) ?? seen);
    });
    return skip === undefined ? y : add(takeRows(skip, rows.from, rows.to), y);
  });
}

/** No strips yet, and the size of x but for the channels that the 1x1 convolution makes. */
export function besideBands(x: Bands, conv: Conv2d): BandConvolution['beside'] {
  return { conv, into: { ...x, channels: conv.weight.shape[3], strips: [] } };
}

/** A convolution band by band: each takes the rows next to it from its neighbours, so that there are no seams. */
export function* convolveBands(
  x: Bands,
  spec: BandConvolution,
  { held, maxTensorBytes, at }: BandContext,
): Work<Bands> {
  const { conv, skip, beside, keep } = spec;
  const g = geometryOf(x, spec);
  const size = rowsAtATime(g, spec, at, maxTensorBytes);
  const result: Bands = { ...g.output, channels: conv.weight.shape[3], strips: [] };
  for (let from = 0; from < g.output.height; from += size) {
    const rows = { from, to: Math.min(g.output.height, from + size) };
    const made = held.hold(convolvedRows(x, spec, g, rows));
    result.strips.push({ from, rows: made });
    if (beside !== undefined) {
      const also = held.hold(tidy(() => conv2d(beside.conv, takeRows(x, rows.from, rows.to))));
      beside.into.strips.push({ from, rows: also });
    }
    const end = rows.to === g.output.height;
    const next = end ? g.input.height : inputRows({ from: rows.to, to: rows.to + 1 }, g).from;
    if (!keep) freeAbove(x, next, held);
    if (skip !== undefined) freeAbove(skip, rows.to, held);
    const cost = made.shape[1] * g.output.width * (conv.weight.size + (beside?.conv.weight.size ?? 0));
    yield { cost, at, made };
  }
  return result;
}
