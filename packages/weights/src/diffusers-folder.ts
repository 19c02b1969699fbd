import type { Checkpoint } from './checkpoint.ts';
import { WeightsError } from './error.ts';
import { type OpenOptions, openCheckpoint } from './open.ts';
import { type ByteFolder, readJson, readText, urlFolder } from './source/folder.ts';

/** A component of a pipeline: its configuration, read unchanged, and its weights, not read yet. */
export interface DiffusersComponent {
  readonly config: Record<string, unknown>;
  readonly checkpoint: Checkpoint;
}

/** The texts of a tokenizer's files, by name: `tokenizerFromFiles` of `@rass/text-encoder` reads them. */
export type TokenizerFiles = Readonly<Record<string, string>>;

/** A Stable Diffusion model as diffusers saves it. What the folder does not have is undefined. */
export interface DiffusersFolder {
  readonly name: string;
  /** model_index.json */
  readonly modelIndex: Record<string, unknown>;
  readonly unet: DiffusersComponent | undefined;
  readonly vae: DiffusersComponent | undefined;
  readonly textEncoder: DiffusersComponent | undefined;
  readonly tokenizer: TokenizerFiles | undefined;
  /** scheduler_config.json */
  readonly scheduler: Record<string, unknown> | undefined;
  close(): Promise<void>;
}

/** How a folder is opened. */
export interface DiffusersFolderOptions extends OpenOptions {
  /** `fp16` takes `diffusion_pytorch_model.fp16.safetensors`, where there is one. Left out, that is taken where there is no plain one. */
  variant?: string;
}

// In the order in which diffusers and transformers look for them.
const WEIGHT_FILES = [
  'diffusion_pytorch_model.safetensors',
  'model.safetensors',
  'diffusion_pytorch_model.safetensors.index.json',
  'model.safetensors.index.json',
  'diffusion_pytorch_model.bin',
  'pytorch_model.bin',
  'diffusion_pytorch_model.bin.index.json',
  'pytorch_model.bin.index.json',
];

// transformers 4 saves the first five, or some of them; transformers 5 the last beside the configuration. The padding token
// of Stable Diffusion 2 stands in the map alone.
const TOKENIZER_FILES = [
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.json',
];

// Attention had other names in VAEs saved before diffusers 0.17, which are still published so.
const OLD_VAE_KEY = /\.attentions\.[^.]+\.(query|key|value|proj_attn)\.[^.]+$/;
// Older transformers saved the numbers 0 to 76 with the weights; nothing asks for them.
const POSITION_IDS = /(^|\.)embeddings\.position_ids$/;

// The one that is published beside plain weights, or in their place.
const PUBLISHED_VARIANT = 'fp16';

// `model.fp16.safetensors`, but `model.safetensors.index.fp16.json`, as both libraries spell them.
function withVariant(file: string, variant: string): string {
  return file.endsWith('.index.json')
    ? file.replace(/\.json$/, `.${variant}.json`)
    : file.replace(/\.(safetensors|bin)$/, `.${variant}.$1`);
}

function inside(folder: ByteFolder, path: string): ByteFolder {
  return { name: `${folder.name}/${path}`, open: (file, signal) => folder.open(`${path}/${file}`, signal) };
}

async function openWeights(folder: ByteFolder, options: DiffusersFolderOptions): Promise<Checkpoint> {
  const { variant } = options;
  const ofVariant = WEIGHT_FILES.map((file) => withVariant(file, variant ?? PUBLISHED_VARIANT));
  const files = variant === undefined ? [...WEIGHT_FILES, ...ofVariant] : [...ofVariant, ...WEIGHT_FILES];
  for (const file of files) {
    const source = await folder.open(file, options.signal);
    if (source !== undefined) return openCheckpoint(source, { ...options, folder });
  }
  throw new WeightsError('NoWeights', `${folder.name}: a component has weights, such as ${files[0]}; got none`);
}

function asObject(where: string, json: unknown): Record<string, unknown> {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new WeightsError('BadJson', `${where}: the file is a JSON object; got ${JSON.stringify(json)?.slice(0, 60)}`);
}

async function openComponent(
  root: ByteFolder,
  name: string,
  options: DiffusersFolderOptions,
): Promise<DiffusersComponent | undefined> {
  const folder = inside(root, name);
  const config = await readJson(folder, 'config.json');
  if (config === undefined) return undefined;
  return { config: asObject(`${folder.name}/config.json`, config), checkpoint: await openWeights(folder, options) };
}

async function openTokenizer(root: ByteFolder): Promise<TokenizerFiles | undefined> {
  const folder = inside(root, 'tokenizer');
  const texts = await Promise.all(TOKENIZER_FILES.map(async (name) => [name, await readText(folder, name)] as const));
  const found = texts.filter((entry): entry is [string, string] => entry[1] !== undefined);
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** Opens a Stable Diffusion model in diffusers' layout: on the web, or any ByteFolder; `@rass/weights/node` takes paths.
 * Configurations are read; weights are opened, and read when they are asked for.
 * @throws WeightsError `NoModelIndex`, `NoWeights`, `BadJson` */
export async function openDiffusersFolder(
  root: string | URL | ByteFolder,
  options: DiffusersFolderOptions = {},
): Promise<DiffusersFolder> {
  const folder = typeof root === 'string' || root instanceof URL ? urlFolder(root, options) : root;
  const modelIndex = await readJson(folder, 'model_index.json');
  if (modelIndex === undefined) {
    throw new WeightsError('NoModelIndex', `${folder.name}: a diffusers folder has a model_index.json; got none`);
  }
  const opened: DiffusersComponent[] = [];
  const close = async () => {
    await Promise.all(opened.map(({ checkpoint }) => checkpoint.close()));
  };
  const component = async (name: string) => {
    const found = await openComponent(folder, name, options);
    if (found !== undefined) opened.push(found);
    return found;
  };
  const vae = async () => {
    const found = await component('vae');
    if (found === undefined || !found.checkpoint.keys().some((key) => OLD_VAE_KEY.test(key))) return found;
    const { renamedVae } = await import('./stable-diffusion/old-names.ts');
    return { ...found, checkpoint: renamedVae(found.checkpoint) };
  };
  const textEncoder = async () => {
    const found = await component('text_encoder');
    const isUnwanted = (key: string) => POSITION_IDS.test(key);
    if (found === undefined || !found.checkpoint.keys().some(isUnwanted)) return found;
    const { withoutKeys } = await import('./stable-diffusion/old-names.ts');
    return { ...found, checkpoint: withoutKeys(found.checkpoint, isUnwanted) };
  };
  try {
    const scheduler = await readJson(folder, 'scheduler/scheduler_config.json');
    return {
      name: folder.name,
      modelIndex: asObject(`${folder.name}/model_index.json`, modelIndex),
      unet: await component('unet'),
      vae: await vae(),
      textEncoder: await textEncoder(),
      tokenizer: await openTokenizer(folder),
      scheduler: scheduler === undefined ? undefined : asObject(`${folder.name}/scheduler`, scheduler),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
