import {
  add,
  concat,
  customGrad,
  matMul,
  mul,
  reshape,
  slice,
  softmax,
  sub,
  sum,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor2d,
  tidy,
  transpose,
  util,
} from '@tensorflow/tfjs-core';
import { runFusedGradient, runFusedKernel } from './fused-kernel.ts';

type Save = (tensors: Tensor[]) => void;

export interface AttentionOptions {
  heads: number;
  /** Multiplies the scores; default 1 / sqrt(C / heads). */
  scale?: number;
  /** A query sees only keys at its own and at earlier positions. */
  causal?: boolean;
  /** Added to the scores, no gradient flows to it. [B or 1, 1, L or 1, S] */
  mask?: Tensor4D;
}

/** The most score values held at a time: 64 MiB of float32. Fewer, larger blocks measured no faster. */
const SCORES_AT_A_TIME = 1 << 24;
/** In place of minus infinity, which turns into NaN where a backend computes 0 * mask. */
const MASKED = -1e30;

/** @shape [B, L, N K] -> [B N, L, K] */
function splitHeads(x_BLC: Tensor3D, heads: number): Tensor3D {
  const [batch, length, channels] = x_BLC.shape;
  if (heads === 1) return x_BLC;
  const split = transpose(reshape(x_BLC, [batch, length, heads, channels / heads]), [0, 2, 1, 3]);
  return reshape(split, [batch * heads, length, channels / heads]);
}

/** @shape [B N, L, K] -> [B, L, N K] */
function joinHeads(x_ALK: Tensor3D, heads: number): Tensor3D {
  const [rows, length, size] = x_ALK.shape;
  if (heads === 1) return x_ALK;
  const joined = transpose(reshape(x_ALK, [rows / heads, heads, length, size]), [0, 2, 1, 3]);
  return reshape(joined, [rows / heads, length, heads * size]);
}

function causalMask(from: number, count: number, keys: number): Tensor {
  const values = new Float32Array(count * keys);
  for (let row = 0; row < count; row++)
    values.fill(MASKED, row * keys + Math.min(keys, from + row + 1), (row + 1) * keys);
  return tensor2d(values, [count, keys]);
}

interface Block {
  heads: number;
  scale: number;
  causal: boolean;
  mask?: Tensor4D;
}

/** The softmax of a block of query rows against all keys. @shape q [A, l, K], k [A, S, K] -> [A, l, S] */
function blockProbabilities(q_AlK: Tensor3D, k_ASK: Tensor3D, from: number, o: Block): Tensor3D {
  const [rows, count] = q_AlK.shape;
  const keys = k_ASK.shape[1];
  let scores: Tensor3D = mul(matMul(q_AlK, k_ASK, false, true), o.scale);
  if (o.causal) scores = add(scores, causalMask(from, count, keys));
  if (o.mask !== undefined) {
    const ofBlock = o.mask.shape[2] === 1 ? o.mask : slice(o.mask, [0, 0, from, 0], [-1, -1, count, -1]);
    scores = reshape(add(reshape(scores, [rows / o.heads, o.heads, count, keys]), ofBlock), [rows, count, keys]);
  }
  return softmax(scores);
}

function blocks(rows: number, queries: number, keys: number): { from: number; count: number }[] {
  const size = Math.max(1, Math.min(queries, Math.floor(SCORES_AT_A_TIME / (rows * keys))));
  return Array.from({ length: Math.ceil(queries / size) }, (_, i) => ({
    from: i * size,
    count: Math.min(size, queries - i * size),
  }));
}

const rowsOf = (x: Tensor3D, from: number, count: number): Tensor3D => slice(x, [0, from, 0], [-1, count, -1]);

function attentionForward(q_BLC: Tensor3D, k_BSC: Tensor3D, v_BSC: Tensor3D, o: Block): Tensor3D {
  const [q, k, v] = [q_BLC, k_BSC, v_BSC].map((x) => splitHeads(x, o.heads));
  const parts = blocks(q.shape[0], q.shape[1], k.shape[1]).map(({ from, count }) =>
    tidy((): Tensor3D => matMul(blockProbabilities(rowsOf(q, from, count), k, from, o), v)),
  );
  return joinHeads(parts.length === 1 ? parts[0] : concat(parts, 1), o.heads);
}

interface BlockGradients {
  dq: Tensor3D;
  dk: Tensor3D;
  dv: Tensor3D;
}

/** The gradients of a block of query rows; the probabilities are computed again instead of kept. */
function blockGradients(q: Tensor3D, k: Tensor3D, v: Tensor3D, dOut: Tensor3D, from: number, o: Block): BlockGradients {
  const p = blockProbabilities(q, k, from, o);
  const dp = matMul(dOut, v, false, true);
  const ds = mul(mul(p, sub(dp, sum(mul(dp, p), -1, true))), o.scale);
  return { dq: matMul(ds, k), dk: matMul(ds, q, true, false), dv: matMul(p, dOut, true, false) };
}

const accumulate = (total: Tensor3D | undefined, part: Tensor3D): Tensor3D =>
  total === undefined ? part : add(total, part);

function attentionBackward(saved: Tensor3D[], dy_BLC: Tensor3D, o: Block): Tensor[] {
  const [q, k, v, dOut] = [...saved.slice(0, 3), dy_BLC].map((x) => splitHeads(x, o.heads));
  const dqs: Tensor3D[] = [];
  let dk: Tensor3D | undefined;
  let dv: Tensor3D | undefined;
  for (const { from, count } of blocks(q.shape[0], q.shape[1], k.shape[1])) {
    const part: BlockGradients = tidy(() => {
      const g = blockGradients(rowsOf(q, from, count), k, v, rowsOf(dOut, from, count), from, o);
      return { dq: g.dq, dk: accumulate(dk, g.dk), dv: accumulate(dv, g.dv) };
    });
    dk?.dispose();
    dv?.dispose();
    dqs.push(part.dq);
    ({ dk, dv } = part);
  }
  const dq: Tensor3D = dqs.length === 1 ? dqs[0] : concat(dqs, 1);
  return [dq, dk, dv].map((x) => joinHeads(x as Tensor3D, o.heads));
}

function check(q: Tensor3D, k: Tensor3D, v: Tensor3D, heads: number): void {
  const channels = q.shape[2];
  if (
    channels % heads !== 0 ||
    k.shape[2] !== channels ||
    !util.arraysEqual(k.shape, v.shape) ||
    k.shape[0] !== q.shape[0]
  ) {
    throw new Error(
      `attention: q [B, L, C], k [B, S, C], v [B, S, C], C divisible by the heads; got q [${q.shape}], k [${k.shape}], v [${v.shape}], heads ${heads}; check the projections`,
    );
  }
}

/** Multi-head attention that never holds the [L, S] matrix whole: it works by blocks of query rows, and its
 * backward pass computes the probabilities again. @shape q [B, L, C], k, v [B, S, C] -> [B, L, C]; a head's channels
 * are adjacent @throws when shapes do not fit @source torch.nn.functional.scaled_dot_product_attention */
export function attention(q_BLC: Tensor3D, k_BSC: Tensor3D, v_BSC: Tensor3D, options: AttentionOptions): Tensor3D {
  const { heads, scale = 1 / Math.sqrt(q_BLC.shape[2] / heads), causal = false, mask } = options;
  check(q_BLC, k_BSC, v_BSC, heads);
  const o: Block = { heads, scale, causal, mask };
  const op = customGrad((...args) => {
    const [q, k, v, save] = args as unknown as [Tensor3D, Tensor3D, Tensor3D, Save];
    // A fused kernel may hand back, beside the result, what its backward pass needs (the log of each row's sum).
    const fusedResult = mask ? undefined : runFusedKernel('RassAttention', { q, k, v }, { heads, scale, causal });
    const value = fusedResult?.[0] ?? tidy(() => attentionForward(q, k, v, o));
    // The mask too: the forward pass may have made it, and dispose of it before the backward pass.
    save([q, k, v, ...(fusedResult ?? (mask ? [mask] : []))]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [sq, sk, sv, out, logSums] = saved;
      const inputs = { q: sq, k: sk, v: sv, out, logSums, dy };
      const fused =
        fusedResult && logSums ? runFusedGradient('RassAttentionGrad', inputs, { heads, scale, causal }) : undefined;
      const kept: Block = { ...o, mask: mask && (saved[3] as Tensor4D) };
      return fused ?? (tidy(() => attentionBackward(saved as Tensor3D[], dy as Tensor3D, kept)) as Tensor[]);
    };
    return { value, gradFunc };
  });
  return op(q_BLC, k_BSC, v_BSC) as Tensor3D;
}

/** Attention with its probabilities, which costs the whole [L, S] matrix; gradients flow through both.
 * @shape q [B, L, C], k, v [B, S, C] -> out [B, L, C], probabilities [B, N, L, S], whose rows sum to 1 */
export function attentionWithProbabilities(
  q_BLC: Tensor3D,
  k_BSC: Tensor3D,
  v_BSC: Tensor3D,
  options: AttentionOptions,
): { out: Tensor3D; probabilities: Tensor4D } {
  const { heads, scale = 1 / Math.sqrt(q_BLC.shape[2] / heads), causal = false, mask } = options;
  check(q_BLC, k_BSC, v_BSC, heads);
  return tidy(() => {
    const [q, k, v] = [q_BLC, k_BSC, v_BSC].map((x) => splitHeads(x, heads));
    const p_ALS = blockProbabilities(q, k, 0, { heads, scale, causal, mask });
    const probabilities = reshape(p_ALS, [q_BLC.shape[0], heads, q.shape[1], k.shape[1]]) as Tensor4D;
    return { out: joinHeads(matMul(p_ALS, v), heads) as Tensor3D, probabilities };
  });
}
