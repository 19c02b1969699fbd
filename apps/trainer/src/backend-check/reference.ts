// Plain loops in double precision: slow, and simple enough to be believed. Gradients are those of sum(result * seed).

/** Values in row-major order. */
export type Values = Float64Array;

/** A result and the gradients with respect to the inputs that have one. */
export interface Reference {
  value: Values;
  gradients: Values[];
}

/** [M, K] times [K, N]; `a` or `b` may be given transposed by its strides. */
function product(a: Values, b: Values, [m, k, n]: Size3, aT = false, bT = false): Values {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const left = aT ? a[p * m + i]! : a[i * k + p]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += left * (bT ? b[j * k + p]! : b[p * n + j]!);
    }
  }
  return out;
}

type Size3 = readonly [number, number, number];

/** @shape a [M, K], b [K, N] -> [M, N] */
export function matMulReference(a: Values, b: Values, seed: Values, [m, k, n]: Size3): Reference {
  return {
    value: product(a, b, [m, k, n]),
    gradients: [product(seed, b, [m, n, k], false, true), product(a, seed, [k, m, n], true)],
  };
}

/** Sizes of a convolution: image, channels, square filter, stride and zero padding. */
export interface ConvSizes {
  height: number;
  width: number;
  input: number;
  output: number;
  filter: number;
  stride: number;
  padding: number;
}

/** The size along one axis after a convolution. */
export function convolved(size: number, { filter, stride, padding }: ConvSizes): number {
  return Math.floor((size + 2 * padding - filter) / stride) + 1;
}

/** @shape x [H, W, I], w [F, F, I, O] -> [h, w, O] */
export function conv2dReference(x: Values, w: Values, seed: Values, s: ConvSizes): Reference {
  const [rows, columns] = [convolved(s.height, s), convolved(s.width, s)];
  const value = new Float64Array(rows * columns * s.output);
  const dx = new Float64Array(x.length);
  const dw = new Float64Array(w.length);
  for (let at = 0; at < rows * columns; at++) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    for (let tap = 0; tap < s.filter * s.filter; tap++) {
      const y = row * s.stride + Math.floor(tap / s.filter) - s.padding;
      const z = column * s.stride + (tap % s.filter) - s.padding;
      if (y < 0 || y >= s.height || z < 0 || z >= s.width) continue;
      for (let i = 0; i < s.input; i++) {
        const from = (y * s.width + z) * s.input + i;
        for (let o = 0; o < s.output; o++) {
          const weight = (tap * s.input + i) * s.output + o;
          const to = at * s.output + o;
          value[to]! += x[from]! * w[weight]!;
          dx[from]! += seed[to]! * w[weight]!;
          dw[weight]! += seed[to]! * x[from]!;
        }
      }
    }
  }
  return { value, gradients: [dx, dw] };
}

/** @shape x [M, N], over the last axis */
export function softmaxReference(x: Values, seed: Values, [m, n]: readonly [number, number]): Reference {
  const value = new Float64Array(x.length);
  const dx = new Float64Array(x.length);
  for (let row = 0; row < m; row++) {
    const part = x.subarray(row * n, (row + 1) * n);
    const top = Math.max(...part);
    const exps = part.map((v) => Math.exp(v - top));
    const total = exps.reduce((sum, v) => sum + v, 0);
    const p = exps.map((v) => v / total);
    const inner = p.reduce((sum, v, i) => sum + v * seed[row * n + i]!, 0);
    value.set(p, row * n);
    dx.set(
      p.map((v, i) => v * (seed[row * n + i]! - inner)),
      row * n,
    );
  }
  return { value, gradients: [dx] };
}

/** @shape table [V, D], indices [N] -> [N, D] */
export function gatherReference(table: Values, indices: readonly number[], seed: Values, width: number): Reference {
  const value = new Float64Array(indices.length * width);
  const d = new Float64Array(table.length);
  indices.forEach((index, i) => {
    for (let j = 0; j < width; j++) {
      value[i * width + j] = table[index * width + j]!;
      d[index * width + j]! += seed[i * width + j]!;
    }
  });
  return { value, gradients: [d] };
}

/** @shape x [S, C], weight [C], bias [C]; statistics over S and the channels of a group */
export function groupNormReference(
  x: Values,
  weight: Values,
  seed: Values,
  { groups, epsilon, bias }: { groups: number; epsilon: number; bias: Values },
): Reference {
  const channels = weight.length;
  const width = channels / groups;
  const value = new Float64Array(x.length);
  const [dx, dw, db] = [x, weight, weight].map((t) => new Float64Array(t.length)) as [Values, Values, Values];
  for (let g = 0; g < groups; g++) {
    const at: number[] = [];
    for (let i = 0; i < x.length; i++) if (Math.floor((i % channels) / width) === g) at.push(i);
    const mean = (f: (i: number) => number) => at.reduce((sum, i) => sum + f(i), 0) / at.length;
    const centre = mean((i) => x[i]!);
    const scale = 1 / Math.sqrt(mean((i) => (x[i]! - centre) ** 2) + epsilon);
    const normal = (i: number) => (x[i]! - centre) * scale;
    const d = (i: number) => seed[i]! * weight[i % channels]!;
    const [m1, m2] = [mean(d), mean((i) => d(i) * normal(i))];
    for (const i of at) {
      value[i] = normal(i) * weight[i % channels]! + bias[i % channels]!;
      dx[i] = scale * (d(i) - m1 - normal(i) * m2);
      dw[i % channels]! += seed[i]! * normal(i);
      db[i % channels]! += seed[i]!;
    }
  }
  return { value, gradients: [dx, dw, db] };
}

/** One head. @shape q [L, D], k, v [S, D] -> [L, D] */
export function attentionReference(q: Values, k: Values, v: Values, seed: Values, [l, s, d]: Size3): Reference {
  const scale = 1 / Math.sqrt(d);
  const scores = product(q, k, [l, d, s], false, true).map((score) => score * scale);
  const dProbabilities = product(seed, v, [l, d, s], false, true);
  const { value: p, gradients } = softmaxReference(scores, dProbabilities, [l, s]);
  const dScores = gradients[0]!.map((g) => g * scale);
  return {
    value: product(p, v, [l, s, d]),
    gradients: [
      product(dScores, k, [l, s, d]),
      product(dScores, q, [s, l, d], true),
      product(p, seed, [s, l, d], true),
    ],
  };
}

/** Bilinear, half-pixel centres. @shape x [H, W, C] -> [h, w, C] */
export function resizeReference(
  x: Values,
  seed: Values,
  from: readonly [number, number, number],
  to: readonly [number, number],
): Reference {
  const [height, width, channels] = from;
  const value = new Float64Array(to[0] * to[1] * channels);
  const dx = new Float64Array(x.length);
  const taps = (at: number, size: number, target: number) => {
    const place = Math.max(0, ((at + 0.5) * size) / target - 0.5);
    const low = Math.min(Math.floor(place), size - 1);
    const share = place - low;
    return [
      { at: low, share: 1 - share },
      { at: Math.min(low + 1, size - 1), share },
    ];
  };
  for (let i = 0; i < value.length; i++) {
    const [row, column, channel] = [Math.floor(i / channels / to[1]), Math.floor(i / channels) % to[1], i % channels];
    for (const y of taps(row, height, to[0])) {
      for (const z of taps(column, width, to[1])) {
        const source = (y.at * width + z.at) * channels + channel;
        value[i]! += x[source]! * y.share * z.share;
        dx[source]! += seed[i]! * y.share * z.share;
      }
    }
  }
  return { value, gradients: [dx] };
}
