import { updateShape } from '../algebra/delta.ts';
import { scaleFor } from '../config.ts';
import type { HostTensor, LayerUpdate, LohaUpdate } from '../state.ts';
import type { Part } from './parts.ts';

/** What a file says of one layer. */
export type LayerParts = Partial<Record<Part, HostTensor>>;

function refuse(layer: string, rule: string, got: string): never {
  throw new Error(`lora: ${layer}: ${rule}; got ${got}; the file is damaged, or of another kind`);
}

const text = ({ shape }: HostTensor): string => `[${shape.join(', ')}]`;

const number = (tensor: HostTensor | undefined): number | undefined => tensor?.data[0];

/** What a layer needs beside what it has; undefined where it is whole. */
export function missingPart(parts: LayerParts): string | undefined {
  const pairs: readonly (readonly [Part, Part])[] = [
    ['down', 'up'],
    ['embeddingDown', 'embeddingUp'],
    ['hada_w1_a', 'hada_w1_b'],
    ['hada_w2_a', 'hada_w2_b'],
    ['hada_w1_a', 'hada_w2_a'],
    ['hada_t1', 'hada_t2'],
    ['lokr_w1_a', 'lokr_w1_b'],
    ['lokr_w2_a', 'lokr_w2_b'],
  ];
  for (const [a, b] of pairs) {
    if (parts[a] !== undefined && parts[b] === undefined) return b;
    if (parts[b] !== undefined && parts[a] === undefined) return a;
  }
  const hasFirst = parts.lokr_w1 !== undefined || parts.lokr_w1_a !== undefined;
  const hasSecond = parts.lokr_w2 !== undefined || parts.lokr_w2_a !== undefined;
  if (hasFirst !== hasSecond) return hasFirst ? 'lokr_w2' : 'lokr_w1';
  const stands = ['down', 'embeddingDown', 'hada_w1_a', 'lokr_w1', 'lokr_w1_a', 'diff', 'weight', 'bias'] as const;
  return stands.some((part) => parts[part] !== undefined) ? undefined : 'factors';
}

type Lengths = { magnitude?: HostTensor; magnitudeAxis?: 'inputs' };

/** DoRA's lengths: PEFT's are of the outputs, [O] or [1, O, 1, 1]; LyCORIS' and kohya's say by where their sizes stand, [O, 1, ...]
 * or [1, I, ...]. `inputs` is unknown where a convolution's kernel is flattened. */
function lengthsOf(layer: string, { magnitude, doraScale }: LayerParts, outputs: number, inputs: number): Lengths {
  if (magnitude !== undefined) {
    const { data } = magnitude;
    if (data.length !== outputs) refuse(layer, `DoRA has a length for each of ${outputs} outputs`, text(magnitude));
    return { magnitude: { shape: [outputs], data } };
  }
  if (doraScale === undefined) return {};
  const { shape, data } = doraScale;
  const plain = { shape: [data.length], data };
  if (data.length === outputs && (shape.length === 1 || shape[0] === outputs)) return { magnitude: plain };
  if (data.length === inputs && shape[0] === 1) return { magnitude: plain, magnitudeAxis: 'inputs' };
  return refuse(layer, `DoRA has a length for each of ${outputs} outputs or ${inputs} inputs`, text(doraScale));
}

function checkPair(layer: string, down: HostTensor, up: HostTensor): void {
  const rank = down.shape[0];
  if (down.shape.length < 2 || up.shape.length < 2 || rank < 1 || up.shape[1] !== rank) {
    refuse(layer, 'both factors have one rank', `down ${text(down)}, up ${text(up)}`);
  }
}

/** Alpha of a layer, the file's own or what the format means without one; a LyCORIS scalar multiplies it. */
export type AlphaOf = (layer: string, rank: number) => number;

function loraLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const embedding = parts.embeddingDown !== undefined;
  const [down, up] = embedding ? [parts.embeddingDown, parts.embeddingUp] : [parts.down, parts.up];
  checkPair(layer, down as HostTensor, up as HostTensor);
  const rank = (down as HostTensor).shape[0];
  return {
    kind: 'lora',
    down: down as HostTensor,
    up: up as HostTensor,
    alpha: (number(parts.alpha) ?? alphaOf(layer, rank)) * (number(parts.scalar) ?? 1),
    ...(parts.upBias && { upBias: parts.upBias }),
    ...(parts.mid && { mid: parts.mid }),
    ...lengthsOf(layer, parts, (up as HostTensor).shape[0], (down as HostTensor).shape[1]),
    ...(embedding && { embedding }),
  };
}

function lohaLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const factor = (n: 1 | 2): LohaUpdate['w1'] => {
    const [a, b, t] = [parts[`hada_w${n}_a`], parts[`hada_w${n}_b`], parts[`hada_t${n}`]];
    return { a: a as HostTensor, b: b as HostTensor, ...(t && { t }) };
  };
  const w1 = factor(1);
  const [outputs, inputs] = w1.t === undefined ? [w1.a.shape[0], w1.b.shape[1]] : [w1.a.shape[1], w1.b.shape[1]];
  const alpha = (number(parts.alpha) ?? alphaOf(layer, w1.b.shape[0])) * (number(parts.scalar) ?? 1);
  return { kind: 'loha', w1, w2: factor(2), alpha, ...lengthsOf(layer, parts, outputs, inputs) };
}

function lokrLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const pair = (n: 1 | 2) => {
    const t = n === 2 ? parts.lokr_t2 : undefined;
    const [a, b] = [parts[`lokr_w${n}_a`], parts[`lokr_w${n}_b`]];
    return { a: a as HostTensor, b: b as HostTensor, ...(t && { t }) };
  };
  const w1 = parts.lokr_w1 ?? pair(1);
  const w2 = parts.lokr_w2 ?? pair(2);
  const product = [w2, w1].find((factor) => !('data' in factor));
  const rank = product === undefined || 'data' in product ? 1 : product.b.shape[0];
  const scalar = number(parts.scalar) ?? 1;
  if (scalar !== 1 && product === undefined) refuse(layer, 'LoKr without a product has no scale', `scalar ${scalar}`);
  const alpha = (number(parts.alpha) ?? alphaOf(layer, rank)) * scalar;
  const update: LayerUpdate = { kind: 'lokr', w1, w2, alpha };
  const [outputs, inputs] = updateShape(update);
  return { ...update, ...lengthsOf(layer, parts, outputs, inputs) };
}

/** The update of a layer that a file has factors or a difference of; undefined where it has whole tensors alone.
 * @throws when the parts do not fit each other */
export function layerUpdate(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate | undefined {
  if (parts.down !== undefined || parts.embeddingDown !== undefined) return loraLayer(layer, parts, alphaOf);
  if (parts.hada_w1_a !== undefined) return lohaLayer(layer, parts, alphaOf);
  if (parts.lokr_w1 !== undefined || parts.lokr_w1_a !== undefined) return lokrLayer(layer, parts, alphaOf);
  return parts.diff === undefined ? undefined : { kind: 'diff', weight: parts.diff };
}

/** What kohya's files, which know no rsLoRA, take as alpha. */
export function plainAlpha(alpha: number, rank: number, rsLora: boolean): number {
  return scaleFor(alpha, rank, rsLora) * rank;
}
