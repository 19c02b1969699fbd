import { detached } from '@rass/kernels';
import { type Adapter, conv2d, embedding, type Layer, type LayerForward, linear, namedRandom } from '@rass/nn';
import {
  add,
  div,
  dropout,
  mul,
  reshape,
  sqrt,
  square,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { type DoraRule, doraTerms, shareInLengths } from './algebra/dora.ts';
import { product, scaleFor } from './product.ts';
import { type Factors, type LayerShares, type Share, shareOf } from './shares.ts';

/** A share that acts. */
interface Acting {
  readonly name: string;
  readonly share: Share;
  readonly factors: Factors;
  /** What it is multiplied by beside its own scale. */
  readonly weight: number;
  /** What its product is multiplied by, the weight included where there are no lengths. */
  readonly scale: number;
  readonly dora: DoraRule;
}

/** The low-rank products that act, in the order in which they do. */
function acting({ shares, active, dora = {} }: LayerShares): Acting[] {
  return Object.entries(active).flatMap(([name, weight]) => {
    const share = shareOf(shares, name);
    if (share?.factors === undefined || weight === 0) return [];
    const own = scaleFor(share.alpha, share.rank, share.config.rsLora);
    const scale = share.magnitude === undefined ? weight * own : own;
    const rule = Object.hasOwn(dora, name) ? dora[name] : 'peft';
    return [{ name, share, factors: share.factors, weight, scale, dora: rule }];
  });
}

/** The layer whose weights an adapter has of its own, where one acts; else the layer itself, plain. */
function hostOf({ shares, active }: LayerShares, layer: Layer): Layer {
  const all = Object.entries(active).flatMap(([name, weight]) => (weight === 0 ? [] : (shareOf(shares, name) ?? [])));
  const whole = all.find((share) => share.whole !== undefined)?.whole;
  const bias = all.find((share) => share.bias !== undefined)?.bias;
  const { adapter: _, ...plain } = layer;
  return { ...plain, ...(whole && tensorsOf(whole)), ...(bias && { bias: bias.value }) } as Layer;
}

const tensorsOf = (layer: Layer): object =>
  'bias' in layer ? { weight: layer.weight, bias: layer.bias } : { weight: layer.weight };

/** The bias of the second factor, not yet scaled. [O] */
function upBias(factors: Factors): Tensor1D | undefined {
  return factors.kind === 'embedding' ? undefined : factors.up.bias;
}

/** The length of the weights that make each output. @shape weight -> [O], for an embedding [C] @source peft DoraLayer */
export function rowLengths(kind: Factors['kind'], weight: Tensor): Tensor {
  const axes = { linear: [1], conv2d: [0, 1, 2], embedding: [0] }[kind];
  return sqrt(sum(square(weight), axes));
}

/** What DoRA multiplies by: each output of the layer, and of the product. As in PEFT no gradient flows through the lengths, which are
 * those of the layer's own weight with this adapter alone. [O] */
function doraFactors({ share, factors, scale, weight, dora }: Acting, host: Layer): { own: Tensor; added: Tensor } {
  const part = scale * shareInLengths(dora, weight, true);
  const lengths = detached(() => rowLengths(factors.kind, add(host.weight, mul(product(factors), part))));
  const factor = div(share.magnitude!.value, lengths);
  const { base, difference } = doraTerms(dora, weight);
  const term = ({ of, plus }: typeof base): Tensor => (of === 1 && plus === 0 ? factor : add(mul(factor, of), plus));
  return { own: term(base), added: term(difference) };
}

/** A number in [0, 1) that depends on the step, the layer, the adapter and what it is for. */
const drawn = (seed: number, path: string, name: string, what: string): number =>
  namedRandom(seed, `${path} ${name} ${what}`)();

const seedOf = (...of: Parameters<typeof drawn>): number => Math.floor(drawn(...of) * 2 ** 31);

/** Ones and zeros over the ranks, the same for the whole batch, scaled to keep the mean. @shape [R] */
function rankMask(rate: number, rank: number, seed: number, path: string, name: string): Tensor {
  const next = namedRandom(seed, `${path} ${name} ranks`);
  return tensor(
    Float32Array.from({ length: rank }, () => (next() < rate ? 0 : 1 / (1 - rate))),
    [rank],
  );
}

/** x through the factors, scaled; undefined where a training step leaves the layer out. */
function lowRank(each: Acting, layer: Layer, x: Tensor, seed: number | undefined): Tensor | undefined {
  const { name, factors, scale, share } = each;
  const { dropout: rate = 0, rankDropout = 0, moduleDropout = 0 } = share.config;
  const { path } = layer;
  if (seed !== undefined && moduleDropout > 0 && drawn(seed, path, name, 'module') < moduleDropout) return undefined;
  // Ids are no quantities to drop.
  const isDropped = seed !== undefined && rate > 0 && factors.kind !== 'embedding';
  const input = isDropped ? dropout(x, rate, undefined, seedOf(seed, path, name, 'inputs')) : x;
  const inner = throughDown(factors, layer, input);
  const masked =
    seed !== undefined && rankDropout > 0 ? mul(inner, rankMask(rankDropout, share.rank, seed, path, name)) : inner;
  const out = throughUp(factors, mul(masked, scale));
  const bias = upBias(factors);
  return bias === undefined ? out : add(out, mul(bias, scale));
}

function throughDown(factors: Factors, layer: Layer, x: Tensor): Tensor {
  if (factors.kind === 'linear') return linear(factors.down, x);
  if (factors.kind === 'embedding') {
    const { path, value } = factors.down;
    return embedding({ kind: 'embedding', path, weight: value }, x);
  }
  // The layer may run with another padding than it was made with, in bands of an image.
  const { stride, padding } = layer as Extract<Layer, { kind: 'conv2d' }>;
  return conv2d({ ...factors.down, stride, padding }, x as Tensor4D);
}

function throughUp(factors: Factors, x: Tensor): Tensor {
  // The bias is scaled apart, since x is scaled before.
  if (factors.kind === 'linear') return linear({ ...factors.up, bias: undefined }, x);
  if (factors.kind === 'conv2d') return conv2d({ ...factors.up, bias: undefined }, x as Tensor4D);
  const { path, value } = factors.up;
  return linear({ kind: 'linear', path, weight: value }, x);
}

/** Whether a training step leaves something of an adapter out. */
const drops = ({ share: { config } }: Acting): boolean =>
  (config.dropout ?? 0) + (config.rankDropout ?? 0) + (config.moduleDropout ?? 0) > 0;

/** Multiply-adds that take as long as the operations which a low-rank branch has more, its backward pass included. */
const OPERATIONS = 2e7;

/** Whether adding the products to the layer's weight takes less than a branch beside it: of small layers, where a branch is a
 * score of short operations. Both give the same; the weight's own gradient, of the layer's whole size, is what it costs. */
function addsToWeight(all: readonly Acting[], { seed }: LayerShares, layer: Layer, x: Tensor): boolean {
  if (all.length === 0 || (layer.kind !== 'linear' && layer.kind !== 'conv2d')) return false;
  if (seed !== undefined && all.some(drops)) return false;
  const isConvolution = layer.kind === 'conv2d';
  const outputs = isConvolution ? layer.weight.shape[3] : layer.weight.shape[0];
  const inputs = layer.weight.size / outputs;
  const rows = x.size / x.shape[x.rank - 1] / (isConvolution ? layer.stride ** 2 : 1);
  const rank = all.reduce((sum, { share }) => sum + share.rank, 0);
  const whole = (rows + 3 * rank) * inputs * outputs;
  const branches = 3 * rows * rank * (inputs + outputs);
  return whole - branches < OPERATIONS;
}

/** The layer's output with its adapters. @source peft LoraLayer.forward, DoraLinearLayer, DoraConv2dLayer */
function forward(shares: LayerShares, layer: Layer, x: Tensor, base: LayerForward): Tensor {
  return tidy(() => {
    if (shares.base !== undefined) return base({ ...layer, adapter: undefined }, x);
    const host = hostOf(shares, layer);
    const all = acting(shares);
    if (addsToWeight(all, shares, layer, x)) return base(plain(shares, layer), x);
    // DoRA turns what there is so far, but for the layer's bias.
    const turns = all.some(({ share }) => share.magnitude !== undefined);
    const bias = turns && 'bias' in host ? host.bias : undefined;
    let y = base(bias === undefined ? host : ({ ...host, bias: undefined } as Layer), x);
    for (const each of all) {
      const low = lowRank(each, layer, x, shares.seed);
      if (low === undefined) continue;
      if (each.share.magnitude === undefined) y = add(y, low);
      else {
        const { own, added } = doraFactors(each, host);
        y = add(mul(y, own), mul(low, added));
      }
    }
    return bias === undefined ? y : add(y, bias);
  });
}

/** The weight, and what is added to the bias, with one adapter more. */
function withAdapter(so: { weight: Tensor; bias?: Tensor }, each: Acting, host: Layer): typeof so {
  const delta = mul(product(each.factors), each.scale);
  const up = upBias(each.factors);
  const added = up && mul(up, each.scale);
  if (each.share.magnitude === undefined) {
    const bias = so.bias && added ? add(so.bias, added) : (added ?? so.bias);
    return { weight: add(so.weight, delta), ...(bias && { bias }) };
  }
  const factors = doraFactors(each, host);
  // Outputs are the last axis, but for a linear layer's weight.
  const rows = (factor: Tensor): Tensor => (each.factors.kind === 'linear' ? reshape(factor, [-1, 1]) : factor);
  const own = so.bias && mul(so.bias, factors.own);
  const turned = added && mul(added, factors.added);
  const bias = own && turned ? add(own, turned) : (turned ?? own);
  return {
    weight: add(mul(so.weight, rows(factors.own)), mul(delta, rows(factors.added))),
    ...(bias && { bias }),
  };
}

/** One layer with the adapters' share in its weight. */
function plain(shares: LayerShares, layer: Layer): Layer {
  if (shares.base !== undefined) return { ...layer, adapter: undefined };
  const all = acting(shares);
  const random = all.find(drops);
  if (shares.seed !== undefined && random !== undefined) {
    throw new Error(
      `lora: ${layer.path}: a layer with dropout is no one layer; got adapter "${random.name}" in training; set its dropout to 0`,
    );
  }
  const host = hostOf(shares, layer);
  if (all.length === 0) return host;
  const start: { weight: Tensor; bias?: Tensor } = { weight: host.weight };
  const { weight, bias: added } = all.reduce((so, each) => withAdapter(so, each, host), start);
  const own = 'bias' in host ? host.bias : undefined;
  const bias = added && { bias: own === undefined ? added : add(own, added) };
  return { ...host, weight, ...bias } as Layer;
}

/** A layer with these shares in the place of those that it has; with none it is plain. */
export function withShares(layer: Layer, shares: LayerShares): Layer {
  const { adapter: _, ...bare } = layer;
  if (Object.keys(shares.shares).length === 0) return bare as Layer;
  const adapter: Adapter<LayerShares> = { params: shares, forward, plain };
  return { ...bare, adapter: adapter as Adapter } as Layer;
}
