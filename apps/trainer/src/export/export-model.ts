import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { STAGES_FILE } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { type Checkpoint, MANIFEST_FILE, makeManifest, shardFiles } from '@rass/weights';
import { fileFolder, openCheckpoint } from '@rass/weights/node';
import { checkFolderPlace, exists, jsonText, makeFolderBeside, readJsonFile } from '../files.ts';
import { INDEX, isOfModel, stageFiles, writeIndex, writeStages } from '../model/folder.ts';
import { convertCheckpoint, type Precision } from './convert.ts';
import { type ExportedStages, exportedStages, type StageChoice } from './exported-stages.ts';
import { isMerged, mergedUnet, type UnetStage } from './merged-unet.ts';
import { type ExportedFile, modelCard } from './model-card.ts';

/** How a model is exported. */
export interface ExportOptions extends StageChoice {
  readonly precision: Precision;
  readonly name: string;
  /** Leave the tokenizer out: a model without one has that of Stable Diffusion 2. */
  readonly withoutTokenizer?: boolean;
  /** Bytes of weights in one file, unless a tensor is larger; default 2 GB. Files of stages are not cut. */
  readonly maxShardBytes?: number;
}

const SHARD_BYTES = 2_000_000_000;
const UNET = 'unet';
/** What a file of weights is called: its stem, its kind, and whether it is a list of shards. */
const WEIGHTS = /^(.*)\.(safetensors|bin)(\.index\.json)?$/;

/** A model's weights of one name, whole or in shards. */
interface WeightsFile {
  /** Below the model, without what tells the format, by the name that it is written under. */
  readonly stem: string;
  readonly file: string;
}

/** What lies in a folder of a model: weights, what is copied, and further folders. */
interface Listing {
  readonly weights: readonly WeightsFile[];
  readonly texts: readonly string[];
  readonly folders: readonly string[];
}

const shardsOf = async (index: string): Promise<string[]> => shardFiles(index, await readFile(index, 'utf8'));

/** The weights among files: of two kinds of the same, safetensors. transformers calls a file of PyTorch by another name. */
function weightsAmong(files: readonly string[], shards: ReadonlySet<string>, below: string): WeightsFile[] {
  const found = new Map<string, string>();
  for (const kind of ['bin', 'safetensors']) {
    for (const name of files) {
      const [, stem, own] = WEIGHTS.exec(name) ?? [];
      if (stem === undefined || own !== kind || shards.has(name)) continue;
      found.set(stem === 'pytorch_model' ? 'model' : stem, name);
    }
  }
  return [...found].map(([stem, name]) => ({ stem: join(below, stem), file: join(below, name) }));
}

async function listed(model: string, below: string, isLeftOut: (path: string) => boolean): Promise<Listing> {
  const entries = await readdir(join(model, below), { withFileTypes: true });
  const paths = entries.filter(({ name }) => !isLeftOut(join(below, name)));
  const named = (isFolder: boolean) =>
    paths.filter((entry) => entry.isDirectory() === isFolder).map(({ name }) => name);
  const files = named(false);
  const indexes = files.filter((name) => WEIGHTS.exec(name)?.[3] !== undefined);
  const shards = new Set((await Promise.all(indexes.map((name) => shardsOf(join(model, below, name))))).flat());
  return {
    weights: weightsAmong(files, shards, below),
    texts: files.filter((name) => !WEIGHTS.test(name)).map((name) => join(below, name)),
    folders: named(true).map((name) => join(below, name)),
  };
}

async function checkModel(model: string, own: readonly string[]): Promise<void> {
  if (!(await exists(join(model, INDEX)))) {
    throw new Error(`export: ${model} is a model's folder with ${INDEX}; got none; of a run, give the model/ in it`);
  }
  for (const file of own) {
    if (await exists(join(model, file))) continue;
    throw new Error(`export: ${model} has what its ${STAGES_FILE} names; got no ${file}; copy it there, too`);
  }
}

/** Writes the weights of one name, merged where it is the UNet's. */
async function exportWeights(
  model: string,
  folder: string,
  { stem, file }: WeightsFile,
  { precision, maxShardBytes = SHARD_BYTES, exported }: ExportOptions & { readonly exported: ExportedStages },
): Promise<ExportedFile> {
  const opened: Checkpoint[] = [];
  const open = async (path: string): Promise<Checkpoint> => {
    const checkpoint = await openCheckpoint(join(model, path));
    opened.push(checkpoint);
    return checkpoint;
  };
  const { merged } = exported;
  try {
    const own = await open(file);
    const isUnet = stem.split(sep)[0] === UNET;
    const stages: UnetStage[] = [];
    for (const stage of isUnet ? merged : []) {
      stages.push({ checkpoint: await open(stage.file), adapters: stage.adapters });
    }
    const config = stages.length > 0 && (await readJsonFile(join(model, UNET, 'config.json')));
    const checkpoint = stages.length > 0 ? mergedUnet(own, config, stages) : own;
    const isStage = merged.some((stage) => stage.file === file);
    const keys = checkpoint.keys().filter((key) => !isStage || !isMerged(key));
    const isOfStage = !stem.includes(sep);
    const place = {
      folder: join(folder, dirname(stem)),
      name: basename(stem),
      maxShardBytes: isOfStage ? Number.POSITIVE_INFINITY : maxShardBytes,
    };
    const converted = await convertCheckpoint(checkpoint, place, precision, keys);
    const path = `${stem}.safetensors`.replaceAll(sep, '/');
    return { ...converted, path: converted.files === 1 ? path : `${path}, in ${converted.files} files` };
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
  }
}

/** What an export made. */
export interface Exported extends Pick<ExportedStages, 'unmerged'> {
  readonly files: readonly ExportedFile[];
}

/** Writes a model's folder anew, its adapters merged and its weights in the given precision, with a model card and files.json, the list of its files and their hashes. The folder is there whole or not at all.
 * @throws when it is no model, or a number does not fit the type */
export async function exportModel(model: string, out: string, options: ExportOptions): Promise<Exported> {
  const given = await readStages(model);
  await checkModel(model, stageFiles(given));
  await checkFolderPlace(out, { inputs: [model], what: 'a model', isOwn: isOfModel });
  const exported = exportedStages(given, options);
  const { stages } = exported;
  const kept = stageFiles(stages);
  const isLeftOut = (path: string): boolean => {
    const isAtTop = !path.includes(sep);
    if (path.endsWith('.tmp') || ['README.md', MANIFEST_FILE].includes(path.split(sep).at(-1)!)) return true;
    if (isAtTop && (path === STAGES_FILE || (WEIGHTS.test(path) && !kept.includes(path)))) return true;
    return options.withoutTokenizer === true && path === 'tokenizer';
  };
  const files: ExportedFile[] = [];
  await makeFolderBeside(out, async (folder) => {
    const walk = async (below: string): Promise<void> => {
      const { weights, texts, folders } = await listed(model, below, isLeftOut);
      for (const each of weights) files.push(await exportWeights(model, folder, each, { ...options, exported }));
      for (const path of texts) await copyFile(join(model, path), join(folder, path));
      for (const path of folders) {
        await mkdir(join(folder, path));
        await walk(path);
      }
    };
    await walk('');
    if (exported.merged.length > 0 && !files.some(({ path }) => path.startsWith(`${UNET}/`))) {
      throw new Error(`export: ${model} has the weights of its UNet, which adapters are merged into; got none; copy them there, or give --no-merge`); // biome-ignore format: one line
    }
    if (Object.keys(given).length > 1) await writeStages(folder, stages);
    await writeIndex(folder);
    if (files.length === 0) {
      throw new Error(
        `export: ${relative('.', model)} has weights in .safetensors files; got none; give a model's folder with ${STAGES_FILE}`,
      );
    }
    const below = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = below
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'));
    await writeFile(join(folder, MANIFEST_FILE), jsonText(await makeManifest(fileFolder(folder), paths)));
    await writeFile(join(folder, 'README.md'), modelCard(options.name, stages, files, options.precision));
  });
  return { files, ...(exported.unmerged !== undefined && { unmerged: exported.unmerged }) };
}
