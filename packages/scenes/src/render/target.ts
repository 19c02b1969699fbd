/** A grid of samples that keeps, for each, what is nearest: its owner and how near. Nearness is what changes linearly on the
 * picture over a plane: 1 / depth for a camera, minus the depth for a light. */
export interface Target {
  readonly columns: number;
  readonly rows: number;
  /** Rows of samples in one unit of the picture's height. */
  readonly rowsPerUnit: number;
  /** Where in its unit of width a sample lies, by row, repeating: rows of a pixel are set off against each other, so that
   * upright and level edges alike are seen at four places. */
  readonly shifts: Float64Array;
  readonly nearness: Float32Array;
  readonly owner: Int32Array;
}

const EMPTY = -1e9;

/** Samples of a picture: four a pixel. */
export function pictureTarget(width: number, height: number): Target {
  return target(width, height * 4, 4, [0.625, 0.125, 0.875, 0.375], 0);
}

/** Samples of a shadow map: one a texel. */
export function shadowTarget(size: number): Target {
  return target(size, size, 1, [0.5, 0.5, 0.5, 0.5], EMPTY);
}

function target(columns: number, rows: number, rowsPerUnit: number, shifts: number[], empty: number): Target {
  const nearness = new Float32Array(columns * rows);
  if (empty !== 0) nearness.fill(empty);
  const owner = new Int32Array(columns * rows).fill(-1);
  return { columns, rows, rowsPerUnit, shifts: Float64Array.from(shifts), nearness, owner };
}

/** Corners of a polygon on the picture, and their nearness. */
export interface Outline {
  count: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly nearness: Float64Array;
}

export function createOutline(corners: number): Outline {
  const numbers = (): Float64Array => new Float64Array(corners);
  return { count: 0, x: numbers(), y: numbers(), nearness: numbers() };
}

/** Scratch for the ends of each row's span. */
export interface Spans {
  readonly left: Float64Array;
  readonly right: Float64Array;
}

export function createSpans(target: Target): Spans {
  return { left: new Float64Array(target.rows), right: new Float64Array(target.rows) };
}

/** Fills a convex polygon. */
export function fillPolygon(target: Target, spans: Spans, outline: Outline, owner: number): void {
  const { columns, rows, rowsPerUnit, shifts, nearness: depths, owner: owners } = target;
  const { count, y } = outline;
  let top = Number.POSITIVE_INFINITY;
  let bottom = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    if (y[i] < top) top = y[i];
    if (y[i] > bottom) bottom = y[i];
  }
  const first = Math.max(0, Math.ceil(top * rowsPerUnit - 0.5));
  const last = Math.min(rows - 1, Math.ceil(bottom * rowsPerUnit - 0.5) - 1);
  if (first > last || !planeOf(outline)) return;
  spans.left.fill(1e9, first, last + 1);
  spans.right.fill(-1e9, first, last + 1);
  for (let i = 0; i < count; i++) traceEdge(target, spans, outline, i, (i + 1) % count);
  const [perX, perY, constant] = plane;
  for (let row = first; row <= last; row++) {
    const shift = shifts[row & 3];
    const from = Math.max(0, Math.ceil(spans.left[row] - shift));
    const to = Math.min(columns - 1, Math.ceil(spans.right[row] - shift) - 1);
    let near = constant + perX * (from + shift) + (perY * (row + 0.5)) / rowsPerUnit;
    for (let i = row * columns + from; i <= row * columns + to; i++) {
      if (near > depths[i]) {
        depths[i] = near;
        owners[i] = owner;
      }
      near += perX;
    }
  }
}

// Always from the upper to the lower end, so that two polygons with a common edge agree on it to the last bit.
function traceEdge(target: Target, spans: Spans, { x, y }: Outline, i: number, j: number): void {
  const [upper, lower] = y[i] < y[j] ? [i, j] : [j, i];
  const first = Math.max(0, Math.ceil(y[upper] * target.rowsPerUnit - 0.5));
  const last = Math.min(target.rows - 1, Math.ceil(y[lower] * target.rowsPerUnit - 0.5) - 1);
  if (first > last) return;
  const slope = (x[lower] - x[upper]) / (y[lower] - y[upper]);
  for (let row = first; row <= last; row++) {
    const at = x[upper] + slope * ((row + 0.5) / target.rowsPerUnit - y[upper]);
    if (at < spans.left[row]) spans.left[row] = at;
    if (at > spans.right[row]) spans.right[row] = at;
  }
}

const plane = new Float64Array(3);

/** Nearness as a linear function of the place, from the largest of the polygon's fans; false for a polygon without area. */
function planeOf({ count, x, y, nearness }: Outline): boolean {
  let [best, size] = [0, 0];
  for (let i = 1; i + 1 < count; i++) {
    const area = Math.abs((x[i] - x[0]) * (y[i + 1] - y[0]) - (x[i + 1] - x[0]) * (y[i] - y[0]));
    if (area > size) [best, size] = [i, area];
  }
  if (size < 1e-9) return false;
  const [ax, ay, an] = [x[best] - x[0], y[best] - y[0], nearness[best] - nearness[0]];
  const [bx, by, bn] = [x[best + 1] - x[0], y[best + 1] - y[0], nearness[best + 1] - nearness[0]];
  const area = ax * by - bx * ay;
  plane[0] = (an * by - bn * ay) / area;
  plane[1] = (ax * bn - bx * an) / area;
  plane[2] = nearness[0] - plane[0] * x[0] - plane[1] * y[0];
  return true;
}

/** An ellipse on the picture: the places (x, y) with a d^2 + 2 b d e + c e^2 <= 1, where d and e lead from its centre. */
export interface Ellipse {
  x: number;
  y: number;
  a: number;
  b: number;
  c: number;
  nearness: number;
  /** How much nearer its middle is than its rim. */
  bulge: number;
}

export function fillEllipse(target: Target, ellipse: Ellipse, owner: number): void {
  const { columns, rows, rowsPerUnit, shifts, nearness: depths, owner: owners } = target;
  const { x, y, a, b, c } = ellipse;
  const tall = Math.sqrt(a / (a * c - b * b));
  const first = Math.max(0, Math.ceil((y - tall) * rowsPerUnit - 0.5));
  const last = Math.min(rows - 1, Math.ceil((y + tall) * rowsPerUnit - 0.5) - 1);
  for (let row = first; row <= last; row++) {
    const e = (row + 0.5) / rowsPerUnit - y;
    const middle = (-b * e) / a;
    const half = Math.sqrt(Math.max(0, middle * middle - (c * e * e - 1) / a));
    const shift = shifts[row & 3];
    const from = Math.max(0, Math.ceil(x + middle - half - shift));
    const to = Math.min(columns - 1, Math.ceil(x + middle + half - shift) - 1);
    for (let column = from; column <= to; column++) {
      const d = column + shift - x;
      const rim = a * d * d + 2 * b * d * e + c * e * e;
      const near = ellipse.nearness + ellipse.bulge * Math.sqrt(Math.max(0, 1 - rim));
      const i = row * columns + column;
      if (near <= depths[i]) continue;
      depths[i] = near;
      owners[i] = owner;
    }
  }
}

/** Side of a splat's mask, in cells. */
export const MASK_SIDE = 64;

/** A small flat cut-out on the picture: centre, the two half sides, what of it is there. */
export interface Patch {
  x: number;
  y: number;
  ux: number;
  uy: number;
  vx: number;
  vy: number;
  nearness: number;
}

export function fillPatch(target: Target, patch: Patch, mask: Uint8Array, owner: number): void {
  const { columns, rows, rowsPerUnit, shifts, nearness: depths, owner: owners } = target;
  const { x, y, ux, uy, vx, vy, nearness } = patch;
  const area = ux * vy - vx * uy;
  if (Math.abs(area) < 1e-7) return;
  const [wide, tall] = [Math.abs(ux) + Math.abs(vx), Math.abs(uy) + Math.abs(vy)];
  const first = Math.max(0, Math.ceil((y - tall) * rowsPerUnit - 0.5));
  const last = Math.min(rows - 1, Math.ceil((y + tall) * rowsPerUnit - 0.5) - 1);
  const half = MASK_SIDE / 2;
  const [ax, ay, bx, by] = [(vy / area) * half, (-vx / area) * half, (-uy / area) * half, (ux / area) * half];
  for (let row = first; row <= last; row++) {
    const shift = shifts[row & 3];
    const from = Math.max(0, Math.ceil(x - wide - shift));
    const to = Math.min(columns - 1, Math.ceil(x + wide - shift) - 1);
    const e = (row + 0.5) / rowsPerUnit - y;
    for (let column = from; column <= to; column++) {
      const i = row * columns + column;
      if (nearness <= depths[i]) continue;
      const d = column + shift - x;
      const p = Math.floor(half + ax * d + ay * e);
      const q = Math.floor(half + bx * d + by * e);
      if (p < 0 || q < 0 || p >= MASK_SIDE || q >= MASK_SIDE || mask[q * MASK_SIDE + p] === 0) continue;
      depths[i] = nearness;
      owners[i] = owner;
    }
  }
}
