import { mergeAndUnload } from '@rass/lora';
import {
  disposeParams,
  type Leaf,
  leaves,
  mapTensors,
  type NamedTensor,
  namedTensors,
  type ParamSource,
} from '@rass/nn';
import { addScrLora, addSegLora, isTrainedInStage } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { type Checkpoint, loadParams } from '@rass/weights';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Model } from './open.ts';
import type { RestorationStage, SegmentationStage } from './stages.ts';

/** The leaf by itself, without the adapters that are on it. */
const alone = (leaf: Leaf): Leaf => ('adapter' in leaf ? ({ ...leaf, adapter: undefined } as Leaf) : leaf);

/** The leaves of a UNet that a stage trains, which are what its file has: adapters and the first convolution. */
export const stageLeaves = (unet: Unet): Leaf[] =>
  leaves(unet)
    .map(alone)
    .filter((leaf) => namedTensors(leaf).every(({ key }) => isTrainedInStage(key)));

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

/** The same from a file of a model's folder. A tree whose file cannot be read is freed. */
async function loadStage<Tree>(
  model: Model,
  file: string,
  tree: Tree,
  choose: (key: string) => boolean,
): Promise<Tree> {
  try {
    const checkpoint = await model.openWeights(file);
    try {
      return await loadStageFrom(checkpoint, tree, choose);
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    disposeParams(tree);
    throw error;
  }
}

/** The UNet with the SCR LoRA of a model. The UNet given is used up. */
async function withRestoration(model: Model, unet: Unet, stage: RestorationStage): Promise<Unet> {
  const added = await addScrLora(unet, { rank: stage.rank, alpha: stage.alpha });
  return loadStage(model, stage.file, added, isTrainedInStage);
}

/** The UNet with the SCR LoRA merged. The UNet given is used up, whatever happens. */
export async function restoringUnet(model: Model, unet: Unet, stage: RestorationStage): Promise<Unet> {
  return mergeAndUnload(await withRestoration(model, unet, stage), { consume: true });
}

/** What is loaded of stage 2: the UNet with its LoRA merged, and the trees beside it. */
export interface LoadedSegmentation<Head> {
  readonly unet: Unet;
  readonly head: Head;
}

/** The UNet with the Seg LoRA merged, and the fusion and head. UNet and head given are used up, whatever happens. */
export async function segmentingUnet<Head>(
  model: Model,
  unet: Unet,
  head: Head,
  stage: SegmentationStage,
): Promise<LoadedSegmentation<Head>> {
  const added = await addSegLora(unet, { rank: stage.rank, alpha: stage.alpha });
  const ofHead = new Set(namedTensors(head).map(({ key }) => key));
  const choose = (key: string) => ofHead.has(key) || isTrainedInStage(key);
  const loaded = await loadStage(model, stage.file, { unet: added, head }, choose);
  return { unet: await mergeAndUnload(loaded.unet, { consume: true }), head: loaded.head };
}
