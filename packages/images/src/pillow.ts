type TargetSize = readonly [height: number, width: number];

/** Rows of pixels, channels side by side. */
export interface Pixels {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** Weights are whole numbers of this many bits after the point, so that sums of levels fit into 32 bits.
 * @source Pillow Resample.c PRECISION_BITS */
const PRECISION_BITS = 32 - 8 - 2;
const HALF = 2 ** (PRECISION_BITS - 1);

interface Filter {
  readonly support: number;
  readonly weight: (distance: number) => number;
}

const CUBIC = -0.5;

const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (distance) => {
      const x = Math.abs(distance);
      if (x < 1) return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * CUBIC : 0;
    },
  },
} satisfies Record<string, Filter>;

/** For each place of the result the first pixel that it takes and the weights from there on. */
interface Weights {
  readonly first: Int32Array;
  readonly weights: readonly Int32Array[];
}

/** @source Pillow Resample.c precompute_coeffs, normalize_coeffs_8bpc */
function weightsOf(from: number, to: number, { support, weight }: Filter): Weights {
  const scale = from / to;
  // Shrinking widens the filter: every pixel counts.
  const stretch = Math.max(1, scale);
  const first = new Int32Array(to);
  const weights = Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    first[i] = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const end = Math.min(from, Math.trunc(centre + support * stretch + 0.5));
    const inverse = 1 / stretch;
    const own = Array.from({ length: end - first[i] }, (_, k) => weight((k + first[i] - centre + 0.5) * inverse));
    const total = own.reduce((a, b) => a + b, 0);
    return Int32Array.from(own, (w) => Math.trunc((w / total) * 2 ** PRECISION_BITS + (w < 0 ? -0.5 : 0.5)));
  });
  return { first, weights };
}

const level = (sum: number): number => Math.min(255, Math.max(0, sum >> PRECISION_BITS));

function alongColumns({ height, width, channels, data }: Pixels, to: number, filter: Filter): Pixels {
  const { first, weights } = weightsOf(width, to, filter);
  const out = new Uint8Array(height * to * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < to; x++) {
      const start = (y * width + first[x]) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        for (let k = 0; k < weights[x].length; k++) sum += data[start + k * channels + c] * weights[x][k];
        out[(y * to + x) * channels + c] = level(sum);
      }
    }
  }
  return { height, width: to, channels, data: out };
}

function alongRows({ height, width, channels, data }: Pixels, to: number, filter: Filter): Pixels {
  const { first, weights } = weightsOf(height, to, filter);
  const row = width * channels;
  const out = new Uint8Array(to * row);
  for (let y = 0; y < to; y++) {
    for (let i = 0; i < row; i++) {
      let sum = HALF;
      for (let k = 0; k < weights[y].length; k++) sum += data[(first[y] + k) * row + i] * weights[y][k];
      out[y * row + i] = level(sum);
    }
  }
  return { height: to, width, channels, data: out };
}

/** Pillow 13 does rows before columns where rows lose more than twice as many pixels; earlier ones never did. Levels are
 * rounded in between, so that the order shows in the last one. Found by trying sizes: Pillow does not document it. */
const rowsFirst = ({ height, width }: Pixels, [rows, columns]: TargetSize): boolean =>
  rows < height && height - rows > 2 * (width - columns);

/** Resizes as Pillow does, equal to the last level. @source Pillow 13 ImagingResample */
export function resizePixels(image: Pixels, [height, width]: TargetSize, resample: keyof typeof FILTERS): Pixels {
  const filter: Filter = FILTERS[resample];
  const columns = (x: Pixels): Pixels => (x.width === width ? x : alongColumns(x, width, filter));
  const rows = (x: Pixels): Pixels => (x.height === height ? x : alongRows(x, height, filter));
  return rowsFirst(image, [height, width]) ? columns(rows(image)) : rows(columns(image));
}

/** Where Pillow's nearest looks: it adds the step up, which rounds otherwise than multiplying. @source Pillow Geometry.c ImagingScaleAffine */
export function nearestPositions(from: number, to: number): Int32Array {
  const step = from / to;
  let at = step * 0.5;
  return Int32Array.from({ length: to }, () => {
    const position = Math.min(from - 1, Math.trunc(at));
    at += step;
    return position;
  });
}
