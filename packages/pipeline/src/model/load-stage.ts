import { adapterFactors, type FileAdapter, mergeFactors } from '@rass/lora';
import {
  disposeParams,
  type Leaf,
  leaves,
  mapLeaves,
  mapTensors,
  type NamedTensor,
  namedTensors,
  type ParamSource,
} from '@rass/nn';
import { isTrainedInStage, scrAdapters, segAdapters } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { type Checkpoint, loadParams } from '@rass/weights';
import { dispose, type Tensor, type TensorContainer } from '@tensorflow/tfjs-core';
import { type Model, REMEDY } from './open.ts';
import { type RestorationStage, type SegmentationStage, stageLora } from './stages.ts';

/** The leaf by itself, without the adapter that is on it. */
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

type Values = Readonly<Record<string, Tensor>>;

const askAll = (from: ParamSource, tensors: readonly NamedTensor[]): Values =>
  Object.fromEntries(tensors.map((named) => [named.key, ask(from, named)]));

/** A tree with other values in place of its own, which are freed. */
function replaced<Tree>(tree: Tree, asked: readonly NamedTensor[], values: Values): Tree {
  const loaded = mapTensors(tree, ({ key, tensor }) => values[key] ?? tensor);
  for (const { tensor } of asked) tensor.dispose();
  return loaded;
}

/** The tree whose leaves of these paths have lost what is beside their weights. */
const withoutBeside = <Tree>(tree: Tree, paths: ReadonlySet<string>): Tree =>
  mapLeaves(tree, (leaf) => {
    if (!paths.has(leaf.path) || !('adapter' in leaf)) return leaf;
    disposeParams(leaf.adapter?.params);
    return alone(leaf);
  });

/** A tree with the values of a checkpoint in place of its own, which are freed: all that `choose` says, and nothing else is in it.
 * @throws LoadError when keys or shapes differ */
export async function loadStageFrom<Tree>(
  checkpoint: Checkpoint,
  tree: Tree,
  choose: (key: string) => boolean,
): Promise<Tree> {
  const asked = namedTensors(tree).filter(({ key }) => choose(key));
  const { params } = await loadParams(checkpoint, (from) => askAll(from, asked), { remedy: REMEDY });
  return replaced(tree, asked, params);
}

/** What `build` asks a stage's file for. @throws LoadError when keys or shapes differ */
async function loadFile<T>(model: Model, file: string, build: (from: ParamSource) => T): Promise<T> {
  const checkpoint = await model.openWeights(file);
  const loading = loadParams(checkpoint, build, model.loading);
  try {
    return (await loading).params;
  } finally {
    await checkpoint.close().catch(async (error) => {
      dispose((await loading).params as TensorContainer);
      throw error;
    });
  }
}

/** A file of a stage. */
interface StageFile {
  readonly file: string;
  readonly adapters: readonly FileAdapter[];
}

/** The UNet with a stage's LoRA, merged or beside packed weights, and its first convolution, and what `others` asks the file for beside it. The UNet given is used up,
 * whatever happens. @throws LoadError when keys or shapes differ */
async function withStage<Others>(
  model: Model,
  unet: Unet,
  { file, adapters }: StageFile,
  others: (from: ParamSource) => Others,
): Promise<{ unet: Unet; others: Others }> {
  // Without the products of an earlier stage, which are beside packed weights. A stage that is merged has its first convolution in the UNet, too.
  const trained = namedTensors(mapLeaves(unet, alone)).filter(({ key }) => isTrainedInStage(key));
  const asked = adapters.length === 0 ? [] : trained;
  const build = (from: ParamSource) => ({
    own: askAll(from, asked),
    factors: adapters.flatMap((adapter) => adapterFactors(from, unet, adapter)),
    others: others(from),
  });
  const loaded = await loadFile(model, file, build).catch((error) => {
    disposeParams(unet);
    throw error;
  });
  try {
    const bare = withoutBeside(unet, new Set(asked.map(({ leaf }) => leaf.path)));
    return { unet: await mergeFactors(replaced(bare, asked, loaded.own), loaded.factors), others: loaded.others };
  } catch (error) {
    disposeParams(loaded.others);
    throw error;
  }
}

/** The UNet with the SCR LoRA, which an exported one may have merged. The UNet given is used up, whatever happens. */
export async function restoringUnet(model: Model, unet: Unet, stage: RestorationStage): Promise<Unet> {
  const { file } = stage;
  const lora = stageLora(stage);
  if (file === undefined || lora === undefined) return unet;
  return (await withStage(model, unet, { file, adapters: scrAdapters(lora) }, () => [])).unet;
}

/** What is loaded of stage 2: the UNet with its LoRA, and what else the file has. */
export interface LoadedSegmentation<Head> {
  readonly unet: Unet;
  readonly head: Head;
}

/** The UNet with the Seg LoRA, which an exported one may have merged, and what `headParams` asks the stage's file for: the fusion and the head. The
 * UNet given is used up, whatever happens. */
export async function segmentingUnet<Head>(
  model: Model,
  unet: Unet,
  headParams: (from: ParamSource) => Head,
  stage: SegmentationStage,
): Promise<LoadedSegmentation<Head>> {
  const lora = stageLora(stage);
  const file: StageFile = { file: stage.file, adapters: lora === undefined ? [] : segAdapters(lora) };
  const merged = await withStage(model, unet, file, headParams);
  return { unet: merged.unet, head: merged.others };
}
