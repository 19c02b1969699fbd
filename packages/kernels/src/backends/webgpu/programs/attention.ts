import type { TensorInfo } from '@tensorflow/tfjs-core';
import { type Call, deviceOf, each, runProgram } from './program.ts';

/** Threads of a workgroup, each with its own queries. */
const THREADS = 64;
/** Keys that are read for all queries of a thread before the softmax moves on. */
const KEYS = 8;
/** Queries of a thread: with more, fewer reads are needed for each; with too few threads a device idles. */
const QUERIES = { hardware: 2, software: 4 } as const;
const ENOUGH_THREADS = { hardware: 8_192, software: 256 } as const;
/** Channels of a head whose sums a thread can hold; with more, registers run out, and the op is composed. */
const MOST_CHANNELS = 80;
/** In place of minus infinity, whose differences are no numbers. */
const MASKED = '-1e30';

interface AttentionAttributes {
  readonly heads: number;
  readonly scale: number;
  readonly causal: boolean;
}

/** Goes once over the keys with the softmax's maximum and sum so far, and rescales what was added up when the maximum grows.
 * Exponents are of base 2, which is what GPUs compute. @source arXiv 2205.14135, FlashAttention */
const code = (queries: number, vectors: number, causal: boolean): string => `
  let first = i32(globalId.x) * ${queries};
  let head = i32(globalId.y); let image = i32(globalId.z);
  if (first >= uniforms.queries) { return; }
  ${each(
    queries,
    (i) => `
  let query${i} = min(first + ${i}, uniforms.queries - 1);
  let last${i} = ${causal ? `min(uniforms.keys - 1, query${i})` : 'uniforms.keys - 1'};
  let ofQuery${i} = ((image * uniforms.queries + query${i}) * uniforms.heads + head) * ${vectors};
  var most${i} = ${MASKED}; var sum${i} = 0.0;
  ${each(vectors, (d) => `var out${i}_${d} = vec4<f32>(0.0);`)}`,
  )}
  for (var key = 0; key <= last${queries - 1}; key += ${KEYS}) {
    ${each(KEYS, (j) => `let ofKey${j} = ((image * uniforms.keys + min(key + ${j}, uniforms.keys - 1)) * uniforms.heads + head) * ${vectors};`)}
    ${each(queries, (i) => each(KEYS, (j) => `var score${i}_${j} = 0.0;`))}
    for (var d = 0; d < ${vectors}; d++) {
      ${each(queries, (i) => `let q${i} = q[ofQuery${i} + d];`)}
      ${each(KEYS, (j) => `let k${j} = k[ofKey${j} + d];`)}
      ${each(queries, (i) => each(KEYS, (j) => `score${i}_${j} += dot(q${i}, k${j});`))}
    }
    ${each(
      queries,
      (i) => `
    ${each(KEYS, (j) => `score${i}_${j} = select(${MASKED}, score${i}_${j} * uniforms.scale, key + ${j} <= last${i});`)}
    let before${i} = most${i};
    ${each(KEYS, (j) => `most${i} = max(most${i}, score${i}_${j});`)}
    ${each(KEYS, (j) => `score${i}_${j} = exp2(score${i}_${j} - most${i});`)}
    let share${i} = exp2(before${i} - most${i});
    sum${i} = sum${i} * share${i} + ${each(KEYS, (j) => `score${i}_${j}`, ' + ')};`,
    )}
    ${each(
      vectors,
      (d) => `{
      ${each(KEYS, (j) => `let v${j} = v[ofKey${j} + ${d}];`)}
      ${each(queries, (i) => `out${i}_${d} = out${i}_${d} * share${i} + ${each(KEYS, (j) => `score${i}_${j} * v${j}`, ' + ')};`)}
    }`,
    )}
  }
  ${each(
    queries,
    (i) => `
  if (first + ${i} < uniforms.queries) {
    ${each(vectors, (d) => `result[ofQuery${i} + ${d}] = out${i}_${d} / sum${i};`)}
  }`,
  )}`;
/** @shape q [B, L, N K], k, v [B, S, N K] -> [B, L, N K]; none where a head has too many channels, or is no whole vectors */
export function attention({ inputs, attrs, backend }: Call<AttentionAttributes>): TensorInfo[] {
  const { q, k } = inputs as Record<'q' | 'k' | 'v', TensorInfo>;
  const { heads, scale, causal } = attrs;
  const [images, queries, all] = q.shape as [number, number, number];
  const channels = all / heads;
  if (channels % 4 !== 0 || channels > MOST_CHANNELS) return [];
  const device = deviceOf(backend);
  const most = QUERIES[device];
  const perThread = images * heads * queries >= most * ENOUGH_THREADS[device] ? most : 1;
  const out = runProgram(
    { inputs, backend },
    {
      key: `attention_${perThread}_${channels}_${causal}`,
      inputs: { q: 4, k: 4, v: 4 },
      shape: q.shape,
      output: 4,
      workgroup: [THREADS, 1, 1],
      groups: [Math.ceil(queries / (THREADS * perThread)), heads, images],
      numbers: { queries, keys: k.shape[1]!, heads },
      fractions: { scale: scale * Math.LOG2E },
      main: code(perThread, channels / 4, causal),
    },
  );
  return [out];
}
