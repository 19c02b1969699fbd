import { updateShape } from '../algebra/delta.ts';
import { scaleFor } from '../product.ts';
import type { HostTensor, LayerUpdate, LohaUpdate } from '../state.ts';
import type { Part } from './parts.ts';

/** What a file says of one layer. */
export type LayerParts = Partial<Record<Part, HostTensor>>;

function refuse(layer: string, rule: string, got: string): never {
  throw new Error(`lora: ${layer}: ${rule}; got ${got}; the file is damaged, or of another kind`);
}

const text = ({ shape }: HostTensor): string => `[${shape.join(', ')}]`;

/** What multiplies a product: a rank of zero or a difference of zero says more plainly that a layer does nothing. */
function factor(layer: string, name: 'alpha' | 'scalar', { [name]: tensor }: LayerParts): number | undefined {
  if (tensor === undefined) return undefined;
  const [value] = tensor.data;
  if (tensor.data.length === 1 && value !== 0) return value;
  return refuse(layer, `${name} is one number, not zero`, tensor.data.length === 1 ? '0' : text(tensor));
}

/** Alpha of a layer, the file's own or what the format means without one; a LyCORIS scalar multiplies it. */
const alphaFor = (layer: string, parts: LayerParts, rank: number, alphaOf: AlphaOf): number =>
  (factor(layer, 'alpha', parts) ?? alphaOf(layer, rank)) * (factor(layer, 'scalar', parts) ?? 1);

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
 * or [1, I, ...]. LoHa and LoKr flatten a kernel into the `inputs`. */
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
  const isFlattened = shape.length === 4 && inputs % data.length === 0;
  if (shape[0] === 1 && (data.length === inputs || isFlattened)) return { magnitude: plain, magnitudeAxis: 'inputs' };
  return refuse(layer, `DoRA has a length for each of ${outputs} outputs or ${inputs} inputs`, text(doraScale));
}

function checkPair(layer: string, down: HostTensor, up: HostTensor, mid?: HostTensor): void {
  const rank = down.shape[0];
  if (down.shape.length < 2 || up.shape.length < 2 || rank < 1 || up.shape[1] !== rank) {
    refuse(layer, 'both factors have one rank', `down ${text(down)}, up ${text(up)}`);
  }
  checkCore(layer, mid, rank);
}

/** Tucker's core has the rank on both sides. */
function checkCore(layer: string, core: HostTensor | undefined, rank: number): void {
  if (core === undefined || (core.shape.length === 4 && core.shape[0] === rank && core.shape[1] === rank)) return;
  refuse(layer, `a core is [${rank}, ${rank}, Kh, Kw]`, text(core));
}

/** A product of LyCORIS': a [O, R] and b [R, I], or with a core a [R, O]. */
function checkProduct(layer: string, { a, b, t }: { a: HostTensor; b: HostTensor; t?: HostTensor }): void {
  const rank = b.shape[0];
  const of = a.shape[t === undefined ? 1 : 0];
  if (a.shape.length !== 2 || b.shape.length < 2 || rank < 1 || of !== rank)
    refuse(layer, 'both factors have one rank', `a ${text(a)}, b ${text(b)}`);
  checkCore(layer, t, rank);
}

/** What an alpha is where the file has none. */
export type AlphaOf = (layer: string, rank: number) => number;

/** A difference of the bias as a bias of the second factor, which is scaled with the product. */
function biasOf(layer: string, { upBias, diffBias }: LayerParts, scale: number): { upBias?: HostTensor } {
  if (diffBias === undefined) return upBias === undefined ? {} : { upBias };
  if (upBias !== undefined) refuse(layer, 'a layer has one difference of its bias', 'two');
  return { upBias: { ...diffBias, data: diffBias.data.map((value) => value / scale) } };
}

function loraLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const embedding = parts.embeddingDown !== undefined;
  const down = (embedding ? parts.embeddingDown : parts.down) as HostTensor;
  const up = (embedding ? parts.embeddingUp : parts.up) as HostTensor;
  checkPair(layer, down, up, parts.mid);
  const rank = down.shape[0];
  const alpha = alphaFor(layer, parts, rank, alphaOf);
  return {
    kind: 'lora',
    down,
    up,
    alpha,
    ...biasOf(layer, parts, alpha / rank),
    ...(parts.mid && { mid: parts.mid }),
    ...lengthsOf(layer, parts, up.shape[0], down.shape[1]),
    ...(embedding && { embedding }),
  };
}

function lohaLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const product = (n: 1 | 2): LohaUpdate['w1'] => {
    const [a, b, t] = [parts[`hada_w${n}_a`], parts[`hada_w${n}_b`], parts[`hada_t${n}`]];
    return { a: a as HostTensor, b: b as HostTensor, ...(t && { t }) };
  };
  const [w1, w2] = [product(1), product(2)];
  for (const each of [w1, w2]) checkProduct(layer, each);
  const alpha = alphaFor(layer, parts, w1.b.shape[0], alphaOf);
  const update: LayerUpdate = { kind: 'loha', w1, w2, alpha };
  const [first, second] = [updateShape(update), updateShape({ ...update, w1: w2 })];
  if (`${first}` !== `${second}`) refuse(layer, 'both products have one size', `[${first}] and [${second}]`);
  return { ...update, ...lengthsOf(layer, parts, first[0], first[1]) };
}

function lokrLayer(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate {
  const product = (n: 1 | 2) => {
    const t = n === 2 ? parts.lokr_t2 : undefined;
    const [a, b] = [parts[`lokr_w${n}_a`], parts[`lokr_w${n}_b`]];
    return { a: a as HostTensor, b: b as HostTensor, ...(t && { t }) };
  };
  const w1 = parts.lokr_w1 ?? product(1);
  const w2 = parts.lokr_w2 ?? product(2);
  for (const each of [w1, w2]) if (!('data' in each)) checkProduct(layer, each);
  const scaled = [w2, w1].find((each) => !('data' in each));
  const rank = scaled === undefined || 'data' in scaled ? 1 : scaled.b.shape[0];
  const scalar = factor(layer, 'scalar', parts) ?? 1;
  if (scalar !== 1 && scaled === undefined) refuse(layer, 'LoKr without a product has no scale', `scalar ${scalar}`);
  const update: LayerUpdate = { kind: 'lokr', w1, w2, alpha: alphaFor(layer, parts, rank, alphaOf) };
  const [outputs, inputs] = updateShape(update);
  return { ...update, ...lengthsOf(layer, parts, outputs, inputs) };
}

/** What each kind of update is made of, beside whole tensors of the layer. The first part tells the kind. */
const KINDS: readonly (readonly [first: readonly Part[], others: readonly Part[]])[] = [
  [['down'], ['up', 'upBias', 'mid', 'alpha', 'magnitude', 'doraScale', 'scalar', 'diffBias']],
  [['embeddingDown'], ['embeddingUp', 'alpha', 'magnitude', 'doraScale', 'scalar']],
  [
    ['hada_w1_a'],
    ['hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2', 'alpha', 'doraScale', 'magnitude', 'scalar'],
  ],
  [
    ['lokr_w1', 'lokr_w1_a'],
    ['lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2', 'alpha', 'doraScale', 'magnitude', 'scalar'],
  ],
  // LyCORIS and ComfyUI pass over the alpha of a whole difference.
  [['diff'], ['diffBias', 'alpha']],
];

/** @throws when a part would be passed over */
function checkParts(layer: string, parts: LayerParts): void {
  const names = (Object.keys(parts) as Part[]).filter((part) => part !== 'weight' && part !== 'bias');
  const kinds = KINDS.filter(([first]) => first.some((part) => parts[part] !== undefined));
  const firsts = kinds.flatMap(([first]) => first.filter((part) => parts[part] !== undefined));
  if (firsts.length > 1) refuse(layer, 'a layer has one kind of update', firsts.join(', '));
  if (parts.magnitude !== undefined && parts.doraScale !== undefined)
    refuse(layer, "a layer has DoRA's lengths once", 'magnitude, doraScale');
  const known = new Set<Part>(kinds.flat(2));
  const idle = names.filter((part) => !known.has(part));
  if (idle.length > 0)
    refuse(
      layer,
      'each part of a layer means something',
      `${idle.join(', ')} beside ${firsts[0] ?? 'its whole tensors'}`,
    );
}

/** The update of a layer that a file has factors or a difference of; undefined where it has whole tensors alone.
 * @throws when the parts do not fit each other */
export function layerUpdate(layer: string, parts: LayerParts, alphaOf: AlphaOf): LayerUpdate | undefined {
  checkParts(layer, parts);
  if (parts.down !== undefined || parts.embeddingDown !== undefined) return loraLayer(layer, parts, alphaOf);
  if (parts.hada_w1_a !== undefined) return lohaLayer(layer, parts, alphaOf);
  if (parts.lokr_w1 !== undefined || parts.lokr_w1_a !== undefined) return lokrLayer(layer, parts, alphaOf);
  const { diff: weight, diffBias: bias } = parts;
  return weight === undefined ? undefined : { kind: 'diff', weight, ...(bias && { bias }) };
}

/** What kohya's files, which know no rsLoRA, take as alpha. */
export function plainAlpha(alpha: number, rank: number, rsLora: boolean): number {
  return scaleFor(alpha, rank, rsLora) * rank;
}
