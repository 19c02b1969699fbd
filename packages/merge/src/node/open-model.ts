import { readdirSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { closest } from '@rass/nn';
import type { Checkpoint } from '@rass/weights';
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

const INDEX = /\.index\.json$/;

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

/** The file of a model: itself, or what lies in its folder; of a whole pipeline of diffusers the UNet's. @throws when there is none */
export async function modelFile(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new Error(
      `merge: a model is a file, a folder or an earlier stage; got ${path}, which is not there${nearby(path)}`,
    );
  }
  if (!found.isDirectory()) return path;
  if (await isThere(join(path, 'model_index.json'))) return modelFile(join(path, 'unet'));
  for (const name of WEIGHTS) if (await isThere(join(path, name))) return join(path, name);
  throw new Error(
    `merge: ${path}: a folder with a model has ${WEIGHTS[0]}, ${WEIGHTS[1]} or an index; got none; give the file itself`,
  );
}

/** A file, and those of an index. */
export async function filesOf(file: string): Promise<string[]> {
  if (!INDEX.test(file)) return [file];
  const { weight_map = {} } = JSON.parse(await readFile(file, 'utf8')) as { weight_map?: Record<string, string> };
  return [file, ...[...new Set(Object.values(weight_map))].sort().map((name) => join(dirname(file), name))];
}

/** A model that has been opened. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint;
  /** The file, or the index. */
  readonly file: string;
}

/** Opens a model by its path. @throws when it is not there, or no checkpoint */
export async function openModel(path: string): Promise<OpenedModel> {
  const file = await modelFile(path);
  return { checkpoint: await openCheckpoint(file), file };
}
