import {
  type Attention,
  type Conv2d,
  conv2d,
  type GegluFeedForward,
  type GroupNorm,
  gegluFeedForward,
  gegluFeedForwardParams,
  groupNorm,
  type LayerNorm,
  type Linear,
  layerNorm,
  linear,
  multiHeadAttention,
  type ParamSource,
} from '@rass/nn';
import { add, reshape, type Tensor, type Tensor3D, type Tensor4D } from '@tensorflow/tfjs-core';
import type { BlockAttentionConfig, UnetConfig } from './config.ts';
import type { Seen } from './pass.ts';

/** The normalisations of a spatial transformer do not follow norm_eps. @source diffusers Transformer2DModel */
const GROUP_NORM_EPSILON = 1e-6;

/** Attention within the image, attention to the text, and a feed-forward network, each added to its input. */
export interface TransformerBlock {
  readonly path: string;
  readonly norm1: LayerNorm;
  readonly attention1: Attention;
  /** The first attention looks at the text too. */
  readonly onlyCross: boolean;
  readonly norm2: LayerNorm;
  readonly attention2: Attention;
  readonly norm3: LayerNorm;
  readonly feedForward: GegluFeedForward;
}

/** Transformer blocks over an image's pixels. */
export interface SpatialTransformer {
  readonly path: string;
  readonly norm: GroupNorm;
  readonly projectIn: Linear | Conv2d;
  readonly blocks: readonly TransformerBlock[];
  readonly projectOut: Linear | Conv2d;
}

function attentionParams(from: ParamSource, width: number, context: number, heads: number): Attention {
  const bare = { bias: false };
  return {
    q: from.at('to_q').linear(width, width, bare),
    k: from.at('to_k').linear(context, width, bare),
    v: from.at('to_v').linear(context, width, bare),
    out: from.at('to_out').at(0).linear(width, width),
    heads,
  };
}

function transformerBlockParams(from: ParamSource, width: number, c: BlockAttentionConfig): TransformerBlock {
  return {
    path: from.path,
    norm1: from.at('norm1').layerNorm(width),
    attention1: attentionParams(from.at('attn1'), width, c.onlyCross ? c.textWidth : width, c.heads),
    onlyCross: c.onlyCross,
    norm2: from.at('norm2').layerNorm(width),
    attention2: attentionParams(from.at('attn2'), width, c.textWidth, c.heads),
    norm3: from.at('norm3').layerNorm(width),
    feedForward: gegluFeedForwardParams(from.at('ff'), width),
  };
}

/** @source diffusers Transformer2DModel over continuous inputs */
export function spatialTransformerParams(
  from: ParamSource,
  width: number,
  blocks: number,
  attention: BlockAttentionConfig,
  config: UnetConfig,
): SpatialTransformer {
  const projection = (name: string): Linear | Conv2d =>
    config.linearProjection ? from.at(name).linear(width, width) : from.at(name).conv2d(width, width, { kernel: 1 });
  return {
    path: from.path,
    norm: from.at('norm').groupNorm(width, { groups: config.normGroups, epsilon: GROUP_NORM_EPSILON }),
    projectIn: projection('proj_in'),
    blocks: Array.from({ length: blocks }, (_, i) =>
      transformerBlockParams(from.at('transformer_blocks').at(i), width, attention),
    ),
    projectOut: projection('proj_out'),
  };
}

/** What the text offers to attend to. */
export interface TextContext {
  /** [B, T, D] */
  readonly text: Tensor3D;
  /** [B, 1, 1, T] */
  readonly bias?: Tensor4D;
}

/** @source diffusers BasicTransformerBlock.forward */
function transformerBlock(
  p: TransformerBlock,
  x_BLC: Tensor3D,
  { text, bias }: TextContext,
  wanted: ReadonlySet<string>,
): Seen<Tensor3D> {
  const seen: Record<string, Tensor> = {};
  const attend = (layer: Attention, name: string, h_BLC: Tensor3D, context?: Tensor3D, mask?: Tensor4D): Tensor3D => {
    const path = `${p.path}.${name}`;
    const result = multiHeadAttention(layer, h_BLC, { context_BSD: context, mask, probabilities: wanted.has(path) });
    if (result.probabilities !== undefined) seen[path] = result.probabilities;
    return result.out;
  };
  // diffusers masks the text for the second attention alone.
  const first = attend(p.attention1, 'attn1', layerNorm(p.norm1, x_BLC), p.onlyCross ? text : undefined);
  let h_BLC = add(first, x_BLC) as Tensor3D;
  h_BLC = add(attend(p.attention2, 'attn2', layerNorm(p.norm2, h_BLC), text, bias), h_BLC);
  return { x: add(gegluFeedForward(p.feedForward, layerNorm(p.norm3, h_BLC)), h_BLC), seen };
}

const project = <T extends Tensor>(p: Linear | Conv2d, x: T): T =>
  p.kind === 'linear' ? linear(p, x) : (conv2d(p, x as unknown as Tensor4D) as unknown as T);

/** @shape x [B, H, W, C] -> same, and the wanted attention probabilities by path
 * @source diffusers Transformer2DModel.forward */
export function spatialTransformer(
  p: SpatialTransformer,
  x_BHWC: Tensor4D,
  context: TextContext,
  wanted: ReadonlySet<string>,
): Seen<Tensor4D> {
  const [B, H, W, C] = x_BHWC.shape;
  let seen: Record<string, Tensor> = {};
  let h_BLC = reshape(project(p.projectIn, groupNorm(p.norm, x_BHWC)), [B, H * W, C]) as Tensor3D;
  for (const block of p.blocks) {
    const result = transformerBlock(block, h_BLC, context, wanted);
    h_BLC = result.x;
    seen = { ...seen, ...result.seen };
  }
  const out_BHWC = project(p.projectOut, reshape(h_BLC, [B, H, W, C]) as Tensor4D);
  return { x: add(out_BHWC, x_BHWC), seen };
}
