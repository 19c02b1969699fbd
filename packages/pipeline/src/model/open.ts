import { anything, called, checkOptions, flag, type OptionRules, whole } from '@rass/kernels/options';
import {
  type NoiseSchedule,
  noiseSchedule,
  parseScheduleConfig,
  parseUnetConfig,
  type Unet,
  unetParams,
} from '@rass/unet';
import { parseVaeConfig, type Vae, vaeParams } from '@rass/vae';
import {
  type ByteFolder,
  type Checkpoint,
  type DiffusersFolder,
  type LoadOptions,
  type LoadProgress,
  loadParams,
  type OpenOptions,
  openCheckpoint,
  openDiffusersFolder,
  urlFolder,
} from '@rass/weights';
import { readStages, STAGES_FILE, type Stages } from './stages.ts';
import { openTagModel, openTextModel, type TagModel, type TextModel } from './text-model.ts';

/** How a model's folder is opened, and its tensors are loaded. */
export interface ModelOptions extends OpenOptions {
  /** Told of each tensor that is loaded. */
  readonly onTensor?: (progress: LoadProgress) => void;
  /** Whether weights stay as they are stored in the device's memory, of float16, 8 or 4 bits, where the device's kernels read them so: WebGPU's
   * do. Else they are float32, as what is trained has to be, and adapters are merged into them; default false. */
  readonly packed?: boolean;
}

/** What is wrong with weights of a folder, no option sets right. */
export const REMEDY = 'give the weights that the configuration beside them is of';

/** Of how its files are read. */
export const OPENING_RULES: OptionRules<OpenOptions> = {
  signal: anything,
  headers: anything,
  fetch: called,
  blockBytes: whole(1),
  first: anything,
  root: anything,
  inertGlobals: anything,
  folder: anything,
  stallMs: anything,
  tries: anything,
  retryMs: anything,
  maxBytes: anything,
};

const MODEL_RULES: OptionRules<ModelOptions> = { onTensor: called, packed: flag, ...OPENING_RULES };

/** A model's folder that is open: what is asked for is loaded. */
export interface Model {
  readonly name: string;
  readonly stages: Stages;
  /** How loadParams is to load what is asked for. */
  readonly loading: Pick<LoadOptions, 'packed' | 'signal' | 'onProgress' | 'remedy'>;
  /** A file of weights beside diffusers' parts; the caller's to close. @throws when it is not there */
  openWeights(file: string): Promise<Checkpoint>;
  loadVae(): Promise<Vae>;
  loadUnet(): Promise<Unet>;
  loadText(): Promise<TextModel>;
  /** The same for tags alone: the tokenizer is loaded with the first of them. */
  loadTags(): Promise<TagModel>;
  schedule(): NoiseSchedule;
  close(): Promise<void>;
}

function partOf<K extends keyof DiffusersFolder>(folder: DiffusersFolder, part: K): NonNullable<DiffusersFolder[K]> {
  const found = folder[part];
  if (found !== undefined) return found as NonNullable<DiffusersFolder[K]>;
  throw new Error(
    `model: ${folder.name}: it has a ${String(part)}; got none; give a folder of diffusers, or of an earlier step of training`,
  );
}

/** @throws where a stage is run at a step that the schedule has not */
function checkTimesteps(name: string, { scheduler }: DiffusersFolder, stages: Stages): void {
  // What it says wrong is said by what needs it.
  const { num_train_timesteps: given = 1000, trained_betas: betas } = scheduler ?? {};
  const steps = Array.isArray(betas) ? betas.length : given;
  if (typeof steps !== 'number') return;
  for (const stage of ['restoration', 'segmentation'] as const) {
    const timestep = stages[stage]?.timestep;
    if (timestep === undefined || timestep < steps) continue;
    throw new Error(
      `model: ${name}/${STAGES_FILE}: ${stage}.timestep is below num_train_timesteps of the scheduler, ${steps}; got ${timestep}; export the model anew`,
    );
  }
}

/** Opens a model: a folder in diffusers' layout, with the stages that were trained so far; by its URL, or any folder of bytes.
 * @throws when it is none, or a part that is asked for is not there */
export async function openModel(root: string | URL | ByteFolder, given: ModelOptions = {}): Promise<Model> {
  checkOptions('openModel', given, MODEL_RULES);
  const { onTensor, packed = false, ...options } = given;
  const files = typeof root === 'string' || root instanceof URL ? urlFolder(root, options) : root;
  const [folder, stages] = await Promise.all([openDiffusersFolder(files, options), readStages(files)]);
  try {
    checkTimesteps(files.name, folder, stages);
  } catch (error) {
    await folder.close();
    throw error;
  }
  const { signal } = options;
  const loading = { packed, remedy: REMEDY, ...(signal && { signal }), ...(onTensor && { onProgress: onTensor }) };
  return {
    name: files.name,
    stages,
    loading,
    async openWeights(file) {
      const source = await files.open(file, options.signal);
      if (source !== undefined) return openCheckpoint(source, options);
      throw new Error(
        `model: ${files.name}: it has ${file}, which its ${STAGES_FILE} names; got none; copy it there, too`,
      );
    },
    async loadVae() {
      const { config, checkpoint } = partOf(folder, 'vae');
      const parsed = parseVaeConfig(config);
      return (await loadParams(checkpoint, (from) => vaeParams(from, parsed), loading)).params;
    },
    async loadUnet() {
      const { config, checkpoint } = partOf(folder, 'unet');
      const parsed = parseUnetConfig(config);
      return (await loadParams(checkpoint, (from) => unetParams(from, parsed), loading)).params;
    },
    loadText: () => openTextModel(partOf(folder, 'textEncoder'), folder.tokenizer, loading),
    loadTags: () => openTagModel(partOf(folder, 'textEncoder'), folder.tokenizer, loading),
    schedule: () => noiseSchedule(parseScheduleConfig(partOf(folder, 'scheduler'))),
    close: () => folder.close(),
  };
}
