import { readdirSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { closest } from '@rass/nn';
import { type Checkpoint, shardFiles } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';

/** Weights in a folder, in the order in which diffusers and transformers look for them. */
const WEIGHTS = [
  'diffusion_pytorch_model.safetensors',
  'model.safetensors',
  'diffusion_pytorch_model.safetensors.index.json',
  'model.safetensors.index.json',
  'diffusion_pytorch_model.bin',
  'pytorch_model.bin',
  'diffusion_pytorch_model.bin.index.json',
  'pytorch_model.bin.index.json',
];

const INDEX = /\.index(\.[\w-]+)?\.json$/;

/** The variant in a file's name, as diffusers and transformers spell it: `model.fp16.safetensors`, `model.safetensors.index.fp16.json`.
 * A shard, `model.fp16-00001-of-00002.safetensors`, names none: its index does. */
const VARIANT =
  /^(?:diffusion_pytorch_model|model|pytorch_model)\.(?:(?![\w-]*-\d+-of-\d+\.)([\w-]+)\.(?:safetensors|bin)|(?:safetensors|bin)\.index\.([\w-]+)\.json)$/;

function withVariant(file: string, variant: string): string {
  return INDEX.test(file)
    ? file.replace(/\.json$/, `.${variant}.json`)
    : file.replace(/\.(safetensors|bin)$/, `.${variant}.$1`);
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

function nearby(path: string): string {
  try {
    return `; closest: ${
      closest(
        path,
        readdirSync(dirname(path)).map((name) => join(dirname(path), name)),
      )[0] ?? 'nothing'
    }`;
  } catch {
    return '; its folder is not there either';
  }
}

/** The variants of weights that lie in a folder. */
function variantsIn(folder: string): string[] {
  const found = readdirSync(folder).flatMap((name) => {
    const [, ofFile, ofIndex] = VARIANT.exec(name) ?? [];
    return ofFile ?? ofIndex ?? [];
  });
  return [...new Set(found)].sort();
}

/** The weights in a folder: of the variant that is asked for, or, where there are no plain ones, of the only one. @throws when there are none */
async function weightsIn(folder: string, variant: string | undefined): Promise<string> {
  const find = async (names: readonly string[]): Promise<string | undefined> => {
    for (const name of names) if (await isThere(join(folder, name))) return join(folder, name);
    return undefined;
  };
  const plain = variant === undefined ? await find(WEIGHTS) : undefined;
  if (plain !== undefined) return plain;
  const variants = variantsIn(folder);
  const chosen = variant ?? (variants.length === 1 ? variants[0] : undefined);
  const found = chosen === undefined ? undefined : await find(WEIGHTS.map((name) => withVariant(name, chosen)));
  if (found !== undefined) return found;
  if (variants.length > 0 || variant !== undefined) {
    const got = variant === undefined ? `the variants ${variants.join(', ')}` : `variant: ${variant}`;
    const remedy =
      variants.length === 0
        ? 'leave it out'
        : `set variant: ${variants.join(' or ')}, or give the file itself, as of a base_model`;
    throw new Error(`merge: ${folder}: a folder with a model has weights of the variant that is meant; got ${got}; ${remedy}`); // biome-ignore format: one line
  }
  throw new Error(
    `merge: ${folder}: a folder with a model has ${WEIGHTS[0]}, ${WEIGHTS[1]} or an index; got none; give the file itself`,
  );
}

/** The file of a model: itself, or what lies in its folder; of a whole pipeline of diffusers the UNet's. @throws when there is none */
export async function modelFile(path: string, variant?: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new Error(
      `merge: a model is a file, a folder or an earlier stage; got ${path}, which is not there${nearby(path)}`,
    );
  }
  if (!found.isDirectory() && variant !== undefined) {
    throw new Error(`merge: ${path}: a variant is one of a folder's files; got variant: ${variant} of a file; leave it out`); // biome-ignore format: one line
  }
  if (!found.isDirectory()) return path;
  if (await isThere(join(path, 'model_index.json'))) return modelFile(join(path, 'unet'), variant);
  return weightsIn(path, variant);
}

/** A file, and those of an index. */
export async function filesOf(file: string): Promise<string[]> {
  if (!INDEX.test(file)) return [file];
  return [
    file,
    ...shardFiles(file, await readFile(file, 'utf8'))
      .sort()
      .map((name) => join(dirname(file), name)),
  ];
}

/** A model that has been opened. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint;
  /** The file, or the index. */
  readonly file: string;
}

/** Opens a model by its path. @throws when it is not there, or no checkpoint */
export async function openModel(path: string, variant?: string): Promise<OpenedModel> {
  const file = await modelFile(path, variant);
  return { checkpoint: await openCheckpoint(file), file };
}
