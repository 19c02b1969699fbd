// Deformable attention over the memory of TensorFlow.js' wasm backend, in AssemblyScript; scripts/wasm-kernels.mjs compiles it. The same
// as packages/kernels/src/host-kernels/deformable-attention.ts, four channels at a time. Arguments are addresses and counts; nothing is
// allocated, so that the two modules share one memory.

// Of one point: the four pixels around it, in bytes from the map's first, and their shares; a pixel outside of the map has none.
let offset0: usize = 0;
let offset1: usize = 0;
let offset2: usize = 0;
let offset3: usize = 0;
let share0: f32 = 0;
let share1: f32 = 0;
let share2: f32 = 0;
let share3: f32 = 0;
let right: f32 = 0;
let below: f32 = 0;
let inLeft: f32 = 0;
let inRight: f32 = 0;
let inTop: f32 = 0;
let inBelow: f32 = 0;
// The pixels' dot products with the gradient of the result.
let dot0: f32 = 0;
let dot1: f32 = 0;
let dot2: f32 = 0;
let dot3: f32 = 0;

/** Finds the corners of the point whose x and y are at `place`; false where all are outside. */
function find(place: usize, columns: f32, rows: f32, start: usize, stride: usize): bool {
  const x = load<f32>(place) * columns - 0.5;
  const y = load<f32>(place, 4) * rows - 0.5;
  if (!(x > -1 && y > -1 && x < columns && y < rows)) return false;
  const left = floor<f32>(x);
  const top = floor<f32>(y);
  right = x - left;
  below = y - top;
  inLeft = left >= 0 ? 1 : 0;
  inTop = top >= 0 ? 1 : 0;
  inRight = left + 1 < columns ? 1 : 0;
  inBelow = top + 1 < rows ? 1 : 0;
  // The nearest pixel inside stands for one outside, with no share.
  const l = <usize>max<f32>(left, 0);
  const r = <usize>min<f32>(left + 1, columns - 1);
  const width = <usize>columns;
  const t = start + <usize>max<f32>(top, 0) * width;
  const b = start + <usize>min<f32>(top + 1, rows - 1) * width;
  offset0 = (t + l) * stride;
  offset1 = (t + r) * stride;
  offset2 = (b + l) * stride;
  offset3 = (b + r) * stride;
  share0 = (1 - right) * (1 - below) * inLeft * inTop;
  share1 = right * (1 - below) * inRight * inTop;
  share2 = (1 - right) * below * inLeft * inBelow;
  share3 = right * below * inRight * inBelow;
  return true;
}

/** Adds the four pixels, by their shares and the point's weight, to the result. */
function addPixels(value: usize, weight: f32, out: usize, bytes: usize): void {
  const a = share0 * weight;
  const b = share1 * weight;
  const c = share2 * weight;
  const d = share3 * weight;
  const p0 = value + offset0;
  const p1 = value + offset1;
  const p2 = value + offset2;
  const p3 = value + offset3;
  const whole = bytes & ~15;
  const a4 = f32x4.splat(a);
  const b4 = f32x4.splat(b);
  const c4 = f32x4.splat(c);
  const d4 = f32x4.splat(d);
  for (let k: usize = 0; k < whole; k += 16) {
    const upper = f32x4.add(f32x4.mul(a4, v128.load(p0 + k)), f32x4.mul(b4, v128.load(p1 + k)));
    const lower = f32x4.add(f32x4.mul(c4, v128.load(p2 + k)), f32x4.mul(d4, v128.load(p3 + k)));
    v128.store(out + k, f32x4.add(v128.load(out + k), f32x4.add(upper, lower)));
  }
  for (let k = whole; k < bytes; k += 4) {
    const upper = a * load<f32>(p0 + k) + b * load<f32>(p1 + k);
    store<f32>(out + k, load<f32>(out + k) + upper + (c * load<f32>(p2 + k) + d * load<f32>(p3 + k)));
  }
}

function sumOf(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

/** Adds a share of dy to a pixel's gradient; the dot product of dy with the pixel. */
function addAndDot(pixel: usize, gradient: usize, factor: f32, dy: usize, bytes: usize): f32 {
  const whole = bytes & ~15;
  const factor4 = f32x4.splat(factor);
  let dot = f32x4.splat(0);
  for (let k: usize = 0; k < whole; k += 16) {
    const d = v128.load(dy + k);
    dot = f32x4.add(dot, f32x4.mul(v128.load(pixel + k), d));
    v128.store(gradient + k, f32x4.add(v128.load(gradient + k), f32x4.mul(factor4, d)));
  }
  let sum = sumOf(dot);
  for (let k = whole; k < bytes; k += 4) {
    const d = load<f32>(dy + k);
    sum += load<f32>(pixel + k) * d;
    store<f32>(gradient + k, load<f32>(gradient + k) + factor * d);
  }
  return sum;
}

/** value [B, S, N, K], sizes [G, 2], locations [B, L, N, P, 2], weights [B, L, N, P] -> out [B, L, N K], zeros before */
export function forward(
  value: usize,
  sizes: usize,
  locations: usize,
  weights: usize,
  out: usize,
  B: usize,
  S: usize,
  N: usize,
  K: usize,
  L: usize,
  P: usize,
  G: usize,
): void {
  const bytes = K * 4;
  const stride = N * bytes;
  const each = P / G;
  let place = locations;
  let weight = weights;
  let row = out;
  for (let b: usize = 0; b < B; b++) {
    const image = value + b * S * stride;
    for (let i: usize = 0; i < L * N; i++) {
      const head = image + (i % N) * bytes;
      let start: usize = 0;
      for (let g: usize = 0; g < G; g++) {
        const rows = load<f32>(sizes + g * 8);
        const columns = load<f32>(sizes + g * 8, 4);
        for (let p: usize = 0; p < each; p++) {
          if (find(place, columns, rows, start, stride)) addPixels(head, load<f32>(weight), row, bytes);
          place += 8;
          weight += 4;
        }
        start += <usize>(rows * columns);
      }
      row += bytes;
    }
  }
}

/** The gradients by value, locations and weights, zeros before. */
export function backward(
  value: usize,
  sizes: usize,
  locations: usize,
  weights: usize,
  dy: usize,
  dvalue: usize,
  dlocations: usize,
  dweights: usize,
  B: usize,
  S: usize,
  N: usize,
  K: usize,
  L: usize,
  P: usize,
  G: usize,
): void {
  const bytes = K * 4;
  const stride = N * bytes;
  const each = P / G;
  let at: usize = 0;
  let row = dy;
  for (let b: usize = 0; b < B; b++) {
    for (let i: usize = 0; i < L * N; i++) {
      const head = b * S * stride + (i % N) * bytes;
      let start: usize = 0;
      for (let g: usize = 0; g < G; g++) {
        const rows = load<f32>(sizes + g * 8);
        const columns = load<f32>(sizes + g * 8, 4);
        for (let p: usize = 0; p < each; p++, at++) {
          if (!find(locations + at * 8, columns, rows, start, stride)) continue;
          const weight = load<f32>(weights + at * 4);
          const pixels = value + head;
          const gradients = dvalue + head;
          dot0 = addAndDot(pixels + offset0, gradients + offset0, share0 * weight, row, bytes) * (inLeft * inTop);
          dot1 = addAndDot(pixels + offset1, gradients + offset1, share1 * weight, row, bytes) * (inRight * inTop);
          dot2 = addAndDot(pixels + offset2, gradients + offset2, share2 * weight, row, bytes) * (inLeft * inBelow);
          dot3 = addAndDot(pixels + offset3, gradients + offset3, share3 * weight, row, bytes) * (inRight * inBelow);
          const byX = (dot1 - dot0) * (1 - below) + (dot3 - dot2) * below;
          const byY = (dot2 - dot0) * (1 - right) + (dot3 - dot1) * right;
          const bySum = dot0 * share0 + dot1 * share1 + (dot2 * share2 + dot3 * share3);
          store<f32>(dweights + at * 4, bySum);
          store<f32>(dlocations + at * 8, byX * weight * columns);
          store<f32>(dlocations + at * 8, byY * weight * rows, 4);
        }
        start += <usize>(rows * columns);
      }
      row += bytes;
    }
  }
}
