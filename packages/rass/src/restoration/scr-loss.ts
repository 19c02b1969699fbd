import {
  type AlignmentConfig,
  type AlignmentInputs,
  type AlignmentOptions,
  alignmentConfig,
  alignmentLoss,
  chooseMaps,
  warmUp,
} from '@rass/attention-alignment';
import { anything, checkOptions, finite, flag, type OptionRules, whole } from '@rass/kernels/options';
import { type Lpips, lpips } from '@rass/metrics/lpips';
import { attentionNames, type Unet } from '@rass/unet';
import { unscaleLatents, type VaeDecoder, vaeDecode } from '@rass/vae';
import {
  add,
  mean,
  mul,
  type Scalar,
  scalar,
  square,
  sub,
  type Tensor3D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import { csdLoss, type Judge, type JudgedLatents, vsdLoss } from './distillation.ts';
import { type LatentStepOptions, type Restorer, restoreLatents } from './restore.ts';

/** What judges restored latents: nothing but the frozen model (PiSA-SR's CSD), or a second model beside it (OSEDiff's VSD). */
export type Distillation =
  | { readonly kind: 'csd'; readonly judge: Judge }
  | { readonly kind: 'vsd'; readonly judge: Judge; readonly student: Unet };

/** The models of stage 1: the UNet with the SCR LoRA is trained, the others are frozen. */
export interface ScrModel extends Pick<Restorer, 'unet' | 'schedule'> {
  readonly vae: VaeDecoder;
  /** For the LPIPS term; the networks take images in [-1, 1]. */
  readonly lpips?: Lpips;
  /** For the distillation term. */
  readonly distillation?: Distillation;
}

/** What one step of stage 1 sees. */
export interface ScrBatch {
  /** Of the bad photographs, scaled as the UNet takes them. [B, h, w, C] */
  readonly latents: Tensor4D;
  /** The good photographs, in [-1, 1]. [B, H, W, 3] */
  readonly target: Tensor4D;
  /** Of the prompts. [B, T, D] */
  readonly text: Tensor3D;
  /** Tags, their classes and the labels; without them the alignment term is left out. */
  readonly alignment?: Pick<AlignmentInputs, 'tags' | 'classes' | 'labels'>;
  /** What the distillation term draws, and its negative prompts. */
  readonly distillation?: Pick<JudgedLatents, 'noise' | 'timestep' | 'negativeText'>;
}

/** What each term counts; a term of weight 0 is not computed, and is 0. */
export interface ScrWeights {
  /** Mean squared difference of the images; default 1. */
  readonly l2?: number;
  /** Default 2 where the model has LPIPS. */
  readonly lpips?: number;
  /** Default 1 where the model has a distillation. */
  readonly distillation?: number;
  /** Of the attention alignment, in full after the warm-up; default 1 where the batch has labels. */
  readonly alignment?: number;
}

export interface ScrLossOptions extends Omit<LatentStepOptions, 'attention'> {
  readonly weights?: ScrWeights;
  /** How the maps are compared with the masks. */
  readonly alignment?: AlignmentOptions;
  /** Steps over which the alignment's weight grows from nothing; default 500. */
  readonly warmUpSteps?: number;
  /** The step, counted from 0. */
  readonly step: number;
  /** Of the judge; default 7.5. */
  readonly guidance?: number;
}

/** The terms, not weighted. A type, not an interface: only those pass through tidy's types. */
export type ScrTerms = {
  /** The weighted sum. */
  readonly loss: Scalar;
  readonly l2: Scalar;
  readonly lpips: Scalar;
  readonly distillation: Scalar;
  readonly alignment: Scalar;
  /** The alignment's two terms. */
  readonly area: Scalar;
  readonly pixel: Scalar;
};

const DEFAULTS = { l2: 1, lpips: 2, distillation: 1, alignment: 1 } as const;
const WARM_UP_STEPS = 500;

type Weights = Required<ScrWeights>;

function refuse(rule: string, got: unknown, remedy: string): never {
  throw new Error(`scrLoss: ${rule}; got ${got}; ${remedy}`);
}

/** @throws when a weight is given for what is not there, or none is above 0 */
const WEIGHT_RULES: OptionRules<ScrWeights> = {
  l2: anything,
  lpips: anything,
  distillation: anything,
  alignment: anything,
};

function resolveWeights(model: ScrModel, batch: ScrBatch, given: ScrWeights = {}): Weights {
  checkOptions('scrLoss: weights', given, WEIGHT_RULES);
  const has: Readonly<Record<keyof Weights, boolean>> = {
    l2: true,
    lpips: model.lpips !== undefined,
    distillation: model.distillation !== undefined && batch.distillation !== undefined,
    alignment: batch.alignment !== undefined,
  };
  const needs: Readonly<Record<keyof Weights, string>> = {
    l2: '',
    lpips: 'the model has no LPIPS; give its weights, or lpips: 0',
    distillation: 'the model has no judge, or the batch no noise; give both, or distillation: 0',
    alignment: 'the batch has no labels; give them, or alignment: 0',
  };
  const names = Object.keys(DEFAULTS) as (keyof Weights)[];
  const weights = Object.fromEntries(
    names.map((name) => {
      const weight = given[name] ?? (has[name] ? DEFAULTS[name] : 0);
      if (!(weight >= 0 && Number.isFinite(weight))) refuse(`weights are numbers from 0 up`, `${weight} for ${name}`, 'correct it'); // biome-ignore format: one line
      if (weight > 0 && !has[name]) refuse(`a term of weight ${weight} can be computed`, `${name}`, needs[name]);
      return [name, weight];
    }),
  ) as Record<keyof Weights, number>;
  if (names.every((name) => weights[name] === 0)) refuse('some weight is above 0', 'only zeros', 'give one');
  return weights;
}

/** The attentions whose maps the alignment compares: those of its places and blocks. */
export function alignedAttentions(unet: Unet, config: AlignmentConfig): readonly string[] {
  const names = attentionNames(unet.config).map(({ name }) => name);
  return chooseMaps(names, { places: config.places, blocks: config.blocks });
}

type Alignment = Pick<ScrTerms, 'alignment' | 'area' | 'pixel'>;

function aligned(
  attention: AlignmentInputs['probabilities'],
  batch: ScrBatch,
  options: AlignmentOptions | undefined,
): Alignment {
  const [, height, width] = batch.latents.shape;
  const given = batch.alignment as NonNullable<ScrBatch['alignment']>;
  const { loss, area, pixel } = alignmentLoss(
    { probabilities: attention, latents: [height, width], ...given },
    options,
  );
  return { alignment: loss, area, pixel };
}

function distilled(model: ScrModel, batch: ScrBatch, latents: Tensor4D, guidance: number | undefined): Scalar {
  const distillation = model.distillation as Distillation;
  const drawn = batch.distillation as NonNullable<ScrBatch['distillation']>;
  const at = { ...drawn, latents, text: batch.text };
  return distillation.kind === 'csd'
    ? csdLoss(distillation.judge, at, { guidance })
    : vsdLoss(distillation.judge, distillation.student, at, { guidance });
}

const SCR_LOSS_OPTIONS_RULES: OptionRules<ScrLossOptions> = {
  weights: anything,
  alignment: anything,
  warmUpSteps: finite,
  step: whole(0),
  guidance: finite,
  latentUpdate: anything,
  timestep: anything,
  checkpointing: flag,
};

/** The loss of stage 1: restoration and semantic constraint. **RASS's own is not published**: the restoration terms are those of the
 * one-step family (OSEDiff, PiSA-SR), the alignment is this project's formulation. Differentiable by the UNet's variables.
 * @shape scalars @throws when a weighted term lacks what it needs @source arXiv 2406.08177, 2412.03017 */
export function scrLoss(model: ScrModel, batch: ScrBatch, options: ScrLossOptions): ScrTerms {
  checkOptions('scrLoss', options, SCR_LOSS_OPTIONS_RULES);
  const weights = resolveWeights(model, batch, options.weights);
  const config = alignmentConfig(options.alignment);
  const { step, warmUpSteps = WARM_UP_STEPS, latentUpdate, timestep, checkpointing } = options;
  return tidy(() => {
    const attention = weights.alignment > 0 ? alignedAttentions(model.unet, config) : [];
    const { latents, attention: maps } = restoreLatents(model, batch.latents, batch.text, {
      latentUpdate,
      timestep,
      checkpointing,
      attention,
    });
    const isSeen = weights.l2 > 0 || weights.lpips > 0;
    const image = isSeen && vaeDecode(model.vae, unscaleLatents(model.vae.config, latents), { checkpointing }).image;
    const nothing = { alignment: scalar(0), area: scalar(0), pixel: scalar(0) };
    const terms = {
      l2: image && weights.l2 > 0 ? (mean(square(sub(image, batch.target))) as Scalar) : scalar(0),
      lpips:
        image && weights.lpips > 0 ? (mean(lpips(model.lpips as Lpips, image, batch.target)) as Scalar) : scalar(0),
      distillation: weights.distillation > 0 ? distilled(model, batch, latents, options.guidance) : scalar(0),
      ...(weights.alignment > 0 ? aligned(maps, batch, options.alignment) : nothing),
    };
    const shares = { ...weights, alignment: weights.alignment * warmUp(step, warmUpSteps) };
    const weighted = (Object.keys(DEFAULTS) as (keyof Weights)[])
      .filter((name) => shares[name] > 0)
      .map((name) => mul(terms[name], shares[name]));
    return { loss: weighted.reduce((a, b) => add(a, b)) as Scalar, ...terms };
  });
}
