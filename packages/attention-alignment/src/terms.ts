import {
  add,
  clipByValue,
  div,
  expandDims,
  log,
  maximum,
  mean,
  mul,
  neg,
  reshape,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';

/** Maps and masks of one size, as the terms take them. */
export interface TermInputs {
  /** What is compared pixel by pixel, on the scale of the norm. [B, L, I] */
  readonly normalized: Tensor3D;
  /** As the attention gives it. [B, L, I] */
  readonly maps: Tensor3D;
  /** [B, L, I] */
  readonly masks: Tensor3D;
  /** [B, L] */
  readonly visible: Tensor2D;
  /** [B, I] */
  readonly valid: Tensor2D;
}

const EPSILON = 1e-6;
/** Maps are small, of the order of 1 / tokens in each of thousands of pixels: sums of them must dwarf this. */
const SUM_EPSILON = 1e-8;

const safeLog = (x: Tensor): Tensor => log(add(x, EPSILON));

/** The mean over a sample's valid tags, [B, I] -> [B]; 0 where it has none. */
function overTags(values_BI: Tensor, valid_BI: Tensor): Tensor1D {
  return div(sum(mul(values_BI, valid_BI), 1), maximum(sum(valid_BI, 1), 1)) as Tensor1D;
}

/** The mean over the samples that have a valid tag and a visible pixel; exactly 0 where there is none. @shape [B] -> [] */
export function overSamples(values_B: Tensor1D, { valid, visible }: Pick<TermInputs, 'valid' | 'visible'>): Scalar {
  const counts_B = mul(sign(sum(valid, 1)), sign(sum(visible, 1)));
  return div(sum(mul(values_B, counts_B)), maximum(sum(counts_B), 1)) as Scalar;
}

/** 1 for what is over zero. */
const sign = (x: Tensor): Tensor => clipByValue(mul(x, 1e6), 0, 1);

/** How much of a tag's attention lies in its mask, (1 - inside / visible)^2. @shape [B, L, I] -> [B]
 * @source TokenCompose, arXiv 2312.03626; CoMat 2404.03653; CODSR 2512.14061 */
export function areaTerm({ maps, masks, visible, valid }: TermInputs): Tensor1D {
  const inside_BI = sum(mul(masks, maps), 1);
  const all_BI = sum(mul(expandDims(visible, 2), maps), 1);
  return overTags(square(sub(1, div(inside_BI, add(all_BI, SUM_EPSILON)))), valid);
}

/** The same for each token and head by itself: the mean over heads of the share inside stands in the square.
 * `member` says which tag a token is of, `count` how many tokens that tag has.
 * @shape tokens [B, N, L, K], member [B, K, I], masks [B, L, I] -> [B] @source TokenCompose L_token */
export function tokenTerm(
  tokens_BNLK: Tensor4D,
  member_BKI: Tensor3D,
  { masks, visible, valid }: Pick<TermInputs, 'masks' | 'visible' | 'valid'>,
): Tensor1D {
  const [B, , L, K] = tokens_BNLK.shape;
  // The mask of each token's tag.
  const ofToken_BLK = sum(mul(expandDims(masks, 2), expandDims(member_BKI, 1)), 3);
  const inside_BNK = sum(mul(tokens_BNLK, reshape(ofToken_BLK, [B, 1, L, K])), 2);
  const all_BNK = sum(mul(tokens_BNLK, reshape(visible, [B, 1, L, 1])), 2);
  const share_BK = mean(div(inside_BNK, add(all_BNK, SUM_EPSILON)), 1);
  const perToken_BK1 = expandDims(square(sub(1, share_BK)), 2);
  const count_BI = maximum(sum(member_BKI, 1), 1);
  return overTags(div(sum(mul(perToken_BK1, member_BKI), 1), count_BI), valid);
}

/** Soft cross-entropy among the tags of each pixel. @shape [B, L, I] -> [B] */
export function crossEntropyTerm({ normalized, masks, visible, valid }: TermInputs, minusEntropy: boolean): Tensor1D {
  const shown_BLI = mul(masks, expandDims(valid, 1));
  const entropy = minusEntropy ? safeLog(div(shown_BLI, add(sum(shown_BLI, 2, true), EPSILON))) : 0;
  const perPixel_BL = neg(sum(mul(shown_BLI, sub(safeLog(normalized), entropy)), 2));
  return div(sum(perPixel_BL, 1), maximum(sum(visible, 1), EPSILON)) as Tensor1D;
}

/** The mean over visible pixels. @shape [B, L, I] -> [B, I] */
function overPixels(values_BLI: Tensor, visible_BL: Tensor2D): Tensor {
  const visible_BL1 = expandDims(visible_BL, 2);
  return div(sum(mul(values_BLI, visible_BL1), 1), maximum(sum(visible_BL1, 1), EPSILON));
}

/** Binary cross-entropy of each tag's map. @shape [B, L, I] -> [B] @source TokenCompose L_pixel */
export function binaryTerm({ normalized, masks, visible, valid }: TermInputs, minusEntropy: boolean): Tensor1D {
  const against = (maps: Tensor): Tensor => add(mul(masks, safeLog(maps)), mul(sub(1, masks), safeLog(sub(1, maps))));
  const agreement = minusEntropy ? sub(against(normalized), against(masks)) : against(normalized);
  return overTags(neg(overPixels(agreement, visible)), valid);
}

/** Mean squared difference. @shape [B, L, I] -> [B] @source Break-A-Scene, arXiv 2305.16311 */
export function squaredTerm({ normalized, masks, visible, valid }: TermInputs): Tensor1D {
  return overTags(overPixels(square(sub(normalized, masks)), visible), valid);
}

/** The mean outside the mask minus the mean inside. @shape [B, L, I] -> [B] @source FastComposer, arXiv 2305.10431 */
export function balancedTerm({ normalized, masks, visible, valid }: TermInputs): Tensor1D {
  const outside = maximum(sub(expandDims(visible, 2), masks), 0);
  const meanIn = (weights: Tensor): Tensor => div(sum(mul(weights, normalized), 1), maximum(sum(weights, 1), EPSILON));
  return overTags(sub(meanIn(outside), meanIn(masks)), valid);
}

/** One minus twice what is common over the sum of both. @shape [B, L, I] -> [B] @source Dice; V-Net, arXiv 1606.04797 */
export function diceTerm({ normalized, masks, visible, valid }: TermInputs): Tensor1D {
  const shown = mul(normalized, expandDims(visible, 2));
  const common = sum(mul(masks, shown), 1);
  const both = add(sum(masks, 1), sum(shown, 1));
  return overTags(sub(1, div(mul(common, 2), add(both, EPSILON))), valid);
}
