import { copyFile, link, mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { STAGES_FILE, type Stages } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { MANIFEST_FILE, paramSpecs, saveParams } from '@rass/weights';
import { createSafetensors } from '@rass/weights/node';
import { jsonText, writeBeside } from '../files.ts';

/** The parts of a model folder in diffusers' layout, each with the name of its weights. */
const COMPONENTS = {
  vae: { file: 'diffusion_pytorch_model.safetensors', library: 'diffusers', type: 'AutoencoderKL' },
  unet: { file: 'diffusion_pytorch_model.safetensors', library: 'diffusers', type: 'UNet2DConditionModel' },
  text_encoder: { file: 'model.safetensors', library: 'transformers', type: 'CLIPTextModel' },
  tokenizer: { library: 'transformers', type: 'CLIPTokenizer' },
  scheduler: { library: 'diffusers', type: 'DDPMScheduler' },
} as const;

export type ComponentName = keyof typeof COMPONENTS;

/** diffusers' list of a model's parts. */
export const INDEX = 'model_index.json';

// Beside and renamed, never in place: what lies there may be a link to another model's file.
const writeJson = (path: string, value: unknown): Promise<void> => writeBeside(path, jsonText(value));

/** Writes a tree's tensors under the checkpoint's names. */
async function writeTree(path: string, tree: unknown): Promise<void> {
  await saveParams(tree, await createSafetensors(path, paramSpecs(tree)));
}

export async function writeIndex(folder: string): Promise<void> {
  const there = await readdir(folder);
  const names = (Object.keys(COMPONENTS) as ComponentName[]).filter((name) => there.includes(name));
  const parts = names.map((name) => [name, [COMPONENTS[name].library, COMPONENTS[name].type]]);
  await writeJson(join(folder, INDEX), { _class_name: 'StableDiffusionPipeline', ...Object.fromEntries(parts) });
}

/** Writes one part of a model folder: its configuration and weights; scheduler and tokenizer have files alone. */
export async function writeComponent(
  folder: string,
  name: 'vae' | 'unet' | 'text_encoder',
  config: Readonly<Record<string, unknown>>,
  tree: unknown,
): Promise<void> {
  const { file, type } = COMPONENTS[name];
  await mkdir(join(folder, name), { recursive: true });
  await writeJson(join(folder, name, 'config.json'), { _class_name: type, ...config });
  await writeTree(join(folder, name, file), tree);
  await writeIndex(folder);
}

/** Writes the parts that are texts: scheduler and tokenizer. */
export async function writeTexts(
  folder: string,
  name: 'scheduler' | 'tokenizer',
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await mkdir(join(folder, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeBeside(join(folder, name, file), text);
  await writeIndex(folder);
}

export const writeStages = (folder: string, value: Stages): Promise<void> =>
  writeJson(join(folder, STAGES_FILE), value);

/** The files of weights that the stages of a model name. */
export const stageFiles = ({ restoration, segmentation }: Stages): string[] =>
  [restoration?.file, segmentation?.file].filter((file) => file !== undefined);

/** Whether an entry of a folder is of a model as these packages write it. */
export const isOfModel = (name: string): boolean =>
  name in COMPONENTS ||
  [INDEX, STAGES_FILE, MANIFEST_FILE, 'README.md'].includes(name) ||
  name.endsWith('.safetensors');

/** Puts a model into another folder as it was before any stage was trained. @throws as readStages */
export async function linkBase(from: string, to: string): Promise<void> {
  await linkFolder(from, to, { except: [STAGES_FILE, ...stageFiles(await readStages(from))] });
}

/** What an export says of a folder as it was: the list of its files, and its card. */
const OF_EXPORT: readonly string[] = [MANIFEST_FILE, 'README.md'];

/** Puts everything of a model into another folder but what an export says of it, without a second copy on disk where the system can. */
export async function linkFolder(
  from: string,
  to: string,
  { except = [] }: { readonly except?: readonly string[] } = {},
): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (except.includes(entry.name) || OF_EXPORT.includes(entry.name) || basename(entry.name).endsWith('.tmp'))
      continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkFolder(source, target);
    else await link(source, target).catch(() => copyFile(source, target));
  }
}
