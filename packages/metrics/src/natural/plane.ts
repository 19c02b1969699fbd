/** Values row by row. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly values: Float64Array;
}

/** The weighted mean around each pixel; beyond the edge its pixel is repeated. The window is square and of an odd size. */
export function filtered({ width, height, values }: Plane, window: ArrayLike<number>): Float64Array {
  const size = Math.round(Math.sqrt(window.length));
  const reach = (size - 1) / 2;
  const out = new Float64Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let dy = -reach; dy <= reach; dy++) {
        const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
        for (let dx = -reach; dx <= reach; dx++) {
          const column = Math.min(width - 1, Math.max(0, x + dx));
          sum += window[(dy + reach) * size + dx + reach] * values[row + column];
        }
      }
      out[y * width + x] = sum;
    }
  }
  return out;
}

/** Keys' cubic with a = -0.5, as MATLAB has it. */
function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// Half a pixel of the result covers eight of the input: the cubic is stretched to twice its reach.
const TAPS = 8;
const HALVING = ((): Float64Array => {
  // The centre lies between the fourth and the fifth.
  const weights = Float64Array.from({ length: TAPS }, (_, i) => cubic((i - (TAPS - 1) / 2) / 2));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
})();

/** Beyond the edge the values come back, the edge's own first. */
const mirrored = (at: number, length: number): number => {
  if (at < 0) return -1 - at;
  return at >= length ? 2 * length - 1 - at : at;
};

function halvedRows({ width, height, values }: Plane): Plane {
  const half = height / 2;
  const out = new Float64Array(half * width);
  for (let y = 0; y < half; y++) {
    for (let tap = 0; tap < TAPS; tap++) {
      const from = mirrored(2 * y + tap - (TAPS / 2 - 1), height) * width;
      for (let x = 0; x < width; x++) out[y * width + x] += HALVING[tap] * values[from + x];
    }
  }
  return { width, height: half, values: out };
}

function turned({ width, height, values }: Plane): Plane {
  const out = new Float64Array(values.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[x * height + y] = values[y * width + x];
  return { width: height, height: width, values: out };
}

/** Half the size, of even sides, by an antialiased cubic. @source MATLAB imresize(image, 0.5) */
export const halved = (plane: Plane): Plane => turned(halvedRows(turned(halvedRows(plane))));
