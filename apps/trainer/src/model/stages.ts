import { join } from 'node:path';
import { mergeAndUnload } from '@rass/lora';
import { type Leaf, leaves, mapTensors, type NamedTensor, namedTensors, type ParamSource, trainable } from '@rass/nn';
import { addScrLora, addSegLora, isTrainedInStage } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { type Checkpoint, loadParams, paramSpecs, saveParams } from '@rass/weights';
import { createSafetensors, openCheckpoint } from '@rass/weights/node';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { RestorationStage, SegmentationStage } from './folder.ts';

/** The leaf by itself, without the adapters that are on it. */
const alone = (leaf: Leaf): Leaf => ('adapter' in leaf ? ({ ...leaf, adapter: undefined } as Leaf) : leaf);

/** The leaves of a UNet that a stage trains: adapters and the first convolution. */
const trainedLeaves = (unet: Unet): Leaf[] =>
  leaves(unet)
    .map(alone)
    .filter((leaf) => namedTensors(leaf).every(({ key }) => isTrainedInStage(key)));

const CONV_IN = /^conv_in\.(weight|bias)$/;

/** The UNet with a stage's tensors as variables. The adapters' starting values are freed; `shared` says that the first convolution's
 * are another tree's, too. */
export function trainableStage(unet: Unet, { shared }: { readonly shared: boolean }): Unet {
  const trained = trainable(unet, isTrainedInStage);
  const copied = namedTensors(unet).filter(({ key }) => isTrainedInStage(key) && !(shared && CONV_IN.test(key)));
  for (const { tensor } of copied) tensor.dispose();
  return trained;
}

/** Writes what a stage has trained: of the UNet the adapters and the first convolution, of other trees everything. */
export async function saveStage(path: string, unet: Unet, ...others: unknown[]): Promise<void> {
  const trained = [trainedLeaves(unet), ...others];
  await saveParams(trained, await createSafetensors(path, paramSpecs(trained)));
}

/** Asks a source for one tensor as its tree has it. */
function ask(from: ParamSource, { key, tensor, layout }: NamedTensor): Tensor {
  if (layout === 'same') return from.at(key).parameter(tensor.shape, { kind: 'constant', value: 0 }).value;
  const [kernel, , inputs, outputs] = tensor.shape as [number, number, number, number];
  return from.at(key.replace(/\.weight$/, '')).conv2d(inputs, outputs, { kernel, bias: false }).weight;
}

/** A tree with the values of a checkpoint in place of its own, which are freed: all that `choose` says, and nothing else is in it.
 * @throws LoadError when keys or shapes differ */
export async function loadStageFrom<Tree>(
  checkpoint: Checkpoint,
  tree: Tree,
  choose: (key: string) => boolean,
): Promise<Tree> {
  const asked = namedTensors(tree).filter(({ key }) => choose(key));
  const build = (from: ParamSource) => Object.fromEntries(asked.map((named) => [named.key, ask(from, named)]));
  const { params } = await loadParams(checkpoint, build);
  const loaded = mapTensors(tree, ({ key, tensor }) => (choose(key) ? (params[key] as Tensor) : tensor));
  for (const { tensor } of asked) tensor.dispose();
  return loaded;
}

/** The same from a file. */
async function loadStage<Tree>(path: string, tree: Tree, choose: (key: string) => boolean): Promise<Tree> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await loadStageFrom(checkpoint, tree, choose);
  } finally {
    await checkpoint.close();
  }
}

/** The UNet with the SCR LoRA of a model. The UNet given is used up. */
async function withRestoration(folder: string, unet: Unet, stage: RestorationStage): Promise<Unet> {
  const added = await addScrLora(unet, { rank: stage.rank, alpha: stage.alpha });
  return loadStage(join(folder, stage.file), added, isTrainedInStage);
}

/** The UNet with the SCR LoRA merged. The UNet given is used up. */
export async function restoringUnet(folder: string, unet: Unet, stage: RestorationStage): Promise<Unet> {
  return mergeAndUnload(await withRestoration(folder, unet, stage), { consume: true });
}

/** What is loaded of stage 2: the UNet with its LoRA merged, and the trees beside it. */
export interface LoadedSegmentation<Head> {
  readonly unet: Unet;
  readonly head: Head;
}

/** The UNet with the Seg LoRA merged, and the fusion and head. UNet and head given are used up. */
export async function segmentingUnet<Head>(
  folder: string,
  unet: Unet,
  head: Head,
  stage: SegmentationStage,
): Promise<LoadedSegmentation<Head>> {
  const added = await addSegLora(unet, { rank: stage.rank, alpha: stage.alpha });
  const ofHead = new Set(namedTensors(head).map(({ key }) => key));
  const choose = (key: string) => ofHead.has(key) || isTrainedInStage(key);
  const loaded = await loadStage(join(folder, stage.file), { unet: added, head }, choose);
  return { unet: await mergeAndUnload(loaded.unet, { consume: true }), head: loaded.head };
}
