import { type ForwardPass, forwardPass } from '@rass/kernels';
import {
  type CriterionOptions,
  type MaskTargets,
  mask2FormerCriterion,
  mask2FormerHead,
  outputOf,
  outputTensors,
} from '@rass/mask2former';
import { trainableTensors } from '@rass/nn';
import type { Unet } from '@rass/unet';
import { dispose, type Scalar, scalar, type Tensor, type Tensor3D, type Tensor4D } from '@tensorflow/tfjs-core';
import { type FeatureOptions, type RassBackbone, rassFeatures } from '../features/stable-diffusion.ts';
import { type JudgedLatents, studentLoss } from '../restoration/distillation.ts';
import { type ScrBatch, type ScrLossOptions, type ScrModel, type ScrTerms, scrLoss } from '../restoration/scr-loss.ts';
import type { RassHead } from '../stage-two.ts';

/** What a step of training found. The gradients belong to the caller, who disposes of them. */
export interface StepResult<Terms extends string> {
  /** The loss and its terms as numbers. */
  readonly terms: Readonly<Record<Terms, number>>;
  /** Of the loss, by the key of each variable. */
  readonly gradients: Readonly<Record<string, Tensor>>;
}

type Outputs = Record<string, Tensor>;

/** Runs a loss of variables that it reads from outside. @throws when there is no variable */
function passOver<O extends Outputs>(
  where: string,
  variables: Record<string, Tensor>,
  run: () => O,
): ForwardPass<Record<string, Tensor>, O> {
  if (Object.keys(variables).length === 0) {
    throw new Error(`${where}: some tensor is trained; got none; make variables of them by trainable() of @rass/nn`);
  }
  return forwardPass(run, variables);
}

/** One step of any loss, without the update: its terms as numbers, and the gradients of `loss` by the variables, which `run` reads from outside.
 * @throws when there is no variable, and what `run` throws */
export async function lossStep<Terms extends string>(
  where: string,
  variables: Record<string, Tensor>,
  run: () => Record<Terms | 'loss', Scalar>,
): Promise<StepResult<Terms | 'loss'>> {
  const pass = passOver(where, variables, run);
  const names = Object.keys(pass.outputs) as (Terms | 'loss')[];
  try {
    const values = await Promise.all(names.map(async (name) => [name, (await pass.outputs[name].data())[0]] as const));
    const one = scalar(1);
    const gradients = pass.gradients({ loss: one } as Partial<Record<Terms | 'loss', Tensor>>);
    one.dispose();
    return { terms: Object.fromEntries(values) as Record<Terms | 'loss', number>, gradients };
  } finally {
    pass.dispose();
  }
}

/** One step of stage 1, without the update: losses and gradients by the variables of the UNet.
 * @throws as scrLoss, and when the UNet has no variable */
export async function scrStep(
  model: ScrModel,
  batch: ScrBatch,
  options: ScrLossOptions,
): Promise<StepResult<keyof ScrTerms>> {
  const variables = trainableTensors(model.unet);
  return lossStep('scrStep', variables, () => scrLoss(model, batch, options));
}

/** One step of VSD's second model, on latents that the first one has restored. @throws when it has no variable */
export async function studentStep(
  model: { readonly student: Unet; readonly schedule: ScrModel['schedule'] },
  at: Omit<JudgedLatents, 'negativeText'>,
  options: { readonly checkpointing?: boolean } = {},
): Promise<StepResult<'loss'>> {
  const variables = trainableTensors(model.student);
  const run = () => ({ loss: studentLoss(model.student, model.schedule, at, options) });
  return lossStep('studentStep', variables, run);
}

/** The models of stage 2: the UNet's Seg LoRA, the fusion and the head are trained. */
export interface SegModel extends RassBackbone, RassHead {}

/** What one step of stage 2 sees. */
export interface SegBatch {
  /** Bad photographs in [-1, 1], with sides that are multiples of 64. [B, H, W, 3] */
  readonly image: Tensor4D;
  /** Of the prompts. [B, T, D] */
  readonly text: Tensor3D;
  /** The masks of each photograph: see semanticTargets of @rass/mask2former. */
  readonly targets: readonly MaskTargets[];
}

export interface SegStepOptions extends FeatureOptions {
  /** Seeds the points at which masks are compared, among others. */
  readonly criterion: CriterionOptions;
}

/** The variables of stage 2 by key. */
export const segVariables = ({ unet, fusion, head }: Pick<SegModel, 'unet' | 'fusion' | 'head'>) =>
  trainableTensors({ unet, fusion, head });

type SegTerm = 'loss' | 'crossEntropy' | 'mask' | 'dice';

/** One step of stage 2, without the update: losses and gradients by all variables. Every layer is judged; the three terms are the last's.
 * @throws when nothing is a variable, and as mask2FormerCriterion */
export async function segStep(
  model: SegModel,
  batch: SegBatch,
  { criterion, ...options }: SegStepOptions,
): Promise<StepResult<SegTerm>> {
  const pass = passOver('segStep', segVariables(model), () =>
    outputTensors(
      mask2FormerHead(model.head, rassFeatures(model, batch.image, batch.text, options), { auxiliary: true }),
    ),
  );
  try {
    const found = await mask2FormerCriterion(outputOf(pass.outputs), batch.targets, criterion);
    const gradients = pass.gradients(found.gradients);
    dispose(found.gradients);
    const last = found.layers[found.layers.length - 1];
    return { terms: { loss: found.loss, ...last }, gradients };
  } finally {
    pass.dispose();
  }
}
