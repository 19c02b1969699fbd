import {
  add,
  cast,
  clipByValue,
  concat,
  floor,
  gather,
  greaterEqual,
  lessEqual,
  logicalAnd,
  matMul,
  mul,
  neg,
  reshape,
  scalar,
  scatterND,
  slice,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';

/** One map among those that are sampled. */
export interface FeatureLevel {
  readonly rows: number;
  readonly columns: number;
}

/** The op's inputs with every axis named once: R = B L N rows, each of P points (over all levels) and K channels. */
export interface Samples {
  /** [B S N, K] */
  readonly value: Tensor2D;
  readonly levels: readonly FeatureLevel[];
  /** [R, P, 2] */
  readonly locations: Tensor3D;
  /** [R, P] */
  readonly weights: Tensor2D;
  /** S N and N: by them a row of R is found in the value. */
  readonly batchStride: number;
  readonly heads: number;
  /** L */
  readonly queries: number;
}

/** Values gathered at a time: 64 MiB of float32. */
const GATHERED_AT_A_TIME = 1 << 24;

/** What the four pixels around each point give; the corners stand one after the other, [R, 4 P]. */
interface Corners {
  /** Rows of the value. [R 4 P] int32 */
  readonly rows: Tensor;
  /** Share of each corner in the point's value, 0 outside of the map. */
  readonly share: Tensor2D;
  /** Its derivatives by the point's x and y in pixels. */
  readonly shareByX: Tensor2D;
  readonly shareByY: Tensor2D;
}

const CORNERS = [
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
] as const;

/** What is known of a point without its place: its level's width, height and first pixel. [1, P] each */
interface PointLevels {
  readonly columns: Tensor2D;
  readonly rows: Tensor2D;
  readonly start: Tensor2D;
}

function pointLevels(levels: readonly FeatureLevel[], points: number): PointLevels {
  const each = points / levels.length;
  const spread = (values: number[]): number[] => values.flatMap((value) => Array<number>(each).fill(value));
  let next = 0;
  const starts = levels.map(({ rows, columns }) => {
    next += rows * columns;
    return next - rows * columns;
  });
  return {
    columns: tensor2d([spread(levels.map(({ columns }) => columns))]),
    rows: tensor2d([spread(levels.map(({ rows }) => rows))]),
    start: tensor2d(spread(starts), [1, points], 'int32'),
  };
}

/** Where a row's batch and head begin in the value. @shape [R, 1] int32 */
function rowStarts(s: Samples, from: number, count: number): Tensor2D {
  const values = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const row = from + i;
    values[i] = Math.floor(row / (s.queries * s.heads)) * s.batchStride + (row % s.heads);
  }
  return tensor2d(values, [count, 1], 'int32');
}

const isInside = (x: Tensor, size: Tensor): Tensor => logicalAnd(greaterEqual(x, 0), lessEqual(x, sub(size, 1)));

function cornersOf(s: Samples, from: number, count: number): Corners {
  const points = s.weights.shape[1];
  const size = pointLevels(s.levels, points);
  const start = rowStarts(s, from, count);
  // A plain number would make float32 of the rows.
  const heads = scalar(s.heads, 'int32');
  const part = slice(s.locations, [from, 0, 0], [count, points, 2]);
  const [x, y] = [0, 1].map((axis) => {
    const place = reshape(slice(part, [0, 0, axis], [count, points, 1]), [count, points]);
    return sub(mul(place, axis === 0 ? size.columns : size.rows), 0.5);
  });
  const [left, top] = [floor(x), floor(y)];
  const [right, below] = [sub(x, left), sub(y, top)];
  const all = CORNERS.map(([dx, dy]) => {
    const [cx, cy] = [add(left, dx), add(top, dy)];
    const inside = cast(logicalAnd(isInside(cx, size.columns), isInside(cy, size.rows)), 'float32');
    const [ofX, ofY] = [dx === 0 ? sub(1, right) : right, dy === 0 ? sub(1, below) : below];
    const column = cast(clipByValue(cx, 0, 1e9), 'int32');
    const line = cast(clipByValue(cy, 0, 1e9), 'int32');
    const pixel = add(size.start, add(mul(line, cast(size.columns, 'int32')), column));
    // A corner outside counts for nothing; any row of the value stands in for it.
    const row = mul(cast(inside, 'int32'), add(mul(pixel, heads), start));
    const [signX, signY] = [dx === 0 ? neg(inside) : inside, dy === 0 ? neg(inside) : inside];
    return { row, share: mul(inside, mul(ofX, ofY)), byX: mul(signX, ofY), byY: mul(signY, ofX) };
  });
  return {
    rows: reshape(
      concat(
        all.map(({ row }) => row),
        1,
      ),
      [count * 4 * points],
    ),
    share: concat(
      all.map(({ share }) => share),
      1,
    ) as Tensor2D,
    shareByX: concat(
      all.map(({ byX }) => byX),
      1,
    ) as Tensor2D,
    shareByY: concat(
      all.map(({ byY }) => byY),
      1,
    ) as Tensor2D,
  };
}

function blocksOf({ weights, value }: Samples): { from: number; count: number }[] {
  const [rows, points] = weights.shape;
  const size = Math.max(1, Math.min(rows, Math.floor(GATHERED_AT_A_TIME / (4 * points * value.shape[1]))));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => ({
    from: i * size,
    count: Math.min(size, rows - i * size),
  }));
}

/** The four corners of each point weigh as the point does. @shape [R, P] -> [R, 4 P] */
const fourTimes = (x: Tensor): Tensor2D => concat([x, x, x, x], 1) as Tensor2D;

/** The sum over the four corners. @shape [R, 4 P] -> [R, P] */
function overCorners(x_RQ: Tensor2D): Tensor {
  const [rows, all] = x_RQ.shape;
  return sum(reshape(x_RQ, [rows, 4, all / 4]), 1);
}

/** @shape see Samples -> [R, K] */
export function composedDeformableAttention(s: Samples): Tensor2D {
  const K = s.value.shape[1];
  const parts = blocksOf(s).map(({ from, count }) =>
    tidy(() => {
      const { rows, share } = cornersOf(s, from, count);
      const ofPoint = mul(share, fourTimes(slice(s.weights, [from, 0], [count, -1])));
      const corners = reshape(gather(s.value, rows as Tensor2D), [count, share.shape[1], K]);
      return reshape(matMul(reshape(ofPoint, [count, 1, share.shape[1]]), corners), [count, K]) as Tensor2D;
    }),
  );
  return parts.length === 1 ? parts[0] : (concat(parts, 0) as Tensor2D);
}

interface BlockGradients {
  /** [B S N, K] */
  value: Tensor2D;
  /** [r, P, 2] */
  locations: Tensor;
  /** [r, P] */
  weights: Tensor;
}

function blockGradients(s: Samples, dy_RK: Tensor2D, from: number, count: number): BlockGradients {
  const K = s.value.shape[1];
  const points = s.weights.shape[1];
  const { rows, share, shareByX, shareByY } = cornersOf(s, from, count);
  const dy = slice(dy_RK, [from, 0], [count, K]);
  const weights = slice(s.weights, [from, 0], [count, points]);
  const corners = reshape(gather(s.value, rows as Tensor2D), [count, 4 * points, K]);
  const along = reshape(matMul(corners, reshape(dy, [count, K, 1])), [count, 4 * points]);
  const size = pointLevels(s.levels, points);
  const [dx, dyy] = [
    mul(mul(overCorners(mul(shareByX, along)), weights), size.columns),
    mul(mul(overCorners(mul(shareByY, along)), weights), size.rows),
  ];
  const ofPoint = reshape(mul(share, fourTimes(weights)), [count, 4 * points, 1]);
  const updates = reshape(mul(ofPoint, reshape(dy, [count, 1, K])), [count * 4 * points, K]);
  return {
    value: scatterND(reshape(rows, [rows.size, 1]), updates, s.value.shape) as Tensor2D,
    locations: concat(
      [dx, dyy].map((d) => reshape(d, [count, points, 1])),
      2,
    ),
    weights: overCorners(mul(share, along)),
  };
}

/** The gradients by the value, the locations and the weights, in their shapes. @shape dy [R, K]
 * @source Deformable DETR, arXiv 2010.04159 */
export function composedDeformableGradients(s: Samples, dy_RK: Tensor2D): [Tensor2D, Tensor, Tensor] {
  let ofValue: Tensor2D | undefined;
  const rest: { locations: Tensor; weights: Tensor }[] = [];
  for (const { from, count } of blocksOf(s)) {
    const before = ofValue;
    const part = tidy(() => {
      const g = blockGradients(s, dy_RK, from, count);
      return { ...g, value: before === undefined ? g.value : add(before, g.value) };
    });
    before?.dispose();
    ofValue = part.value as Tensor2D;
    rest.push(part);
  }
  const joined = (name: 'locations' | 'weights'): Tensor =>
    rest.length === 1
      ? rest[0][name]
      : concat(
          rest.map((part) => part[name]),
          0,
        );
  return [ofValue as Tensor2D, joined('locations'), joined('weights')];
}
