import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { STAGES_FILE } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { type Checkpoint, MANIFEST_FILE, makeManifest } from '@rass/weights';
import { fileFolder, openCheckpoint } from '@rass/weights/node';
import { checkFolderPlace, exists, jsonText, makeFolderBeside } from '../files.ts';
import { INDEX, isOfModel, stageFiles, writeIndex, writeStages } from '../model/folder.ts';
import { convertCheckpoint, type Precision } from './convert.ts';
import { type ExportedStages, exportedStages, type StageChoice } from './exported-stages.ts';
import { isMerged, mergedUnet, type UnetStage } from './merged-unet.ts';
import { type ExportedFile, modelCard } from './model-card.ts';

export interface ExportOptions extends StageChoice {
  readonly precision: Precision;
  readonly name: string;
  /** Leave the tokenizer out: a model without one has that of Stable Diffusion 2. */
  readonly withoutTokenizer?: boolean;
  /** Bytes of weights in one file; default 2 GB. Files of stages are not cut. */
  readonly maxShardBytes?: number;
}

const SHARD_BYTES = 2_000_000_000;
const UNET = 'unet';
const SHARDS = '.safetensors.index.json';
const WEIGHTS = '.safetensors';

/** A model's weights of one name, whole or in shards. */
interface WeightsFile {
  /** Below the model, without what tells the format. */
  readonly stem: string;
  readonly file: string;
}

/** What lies in a folder of a model: weights, what is copied, and further folders. */
interface Listing {
  readonly weights: readonly WeightsFile[];
  readonly texts: readonly string[];
  readonly folders: readonly string[];
}

async function shardsOf(index: string): Promise<string[]> {
  const { weight_map: map } = JSON.parse(await readFile(index, 'utf8')) as { weight_map?: Record<string, string> };
  return [...new Set(Object.values(map ?? {}))];
}

async function listed(model: string, below: string, isLeftOut: (path: string) => boolean): Promise<Listing> {
  const entries = await readdir(join(model, below), { withFileTypes: true });
  const paths = entries.filter(({ name }) => !isLeftOut(join(below, name)));
  const named = (isFolder: boolean) =>
    paths.filter((entry) => entry.isDirectory() === isFolder).map(({ name }) => name);
  const files = named(false);
  const indexes = files.filter((name) => name.endsWith(SHARDS));
  const shards = new Set((await Promise.all(indexes.map((name) => shardsOf(join(model, below, name))))).flat());
  const whole = files.filter((name) => name.endsWith(WEIGHTS) && !shards.has(name));
  const weights = [...whole, ...indexes].map((name) => ({
    stem: join(below, name.slice(0, name.length - (name.endsWith(SHARDS) ? SHARDS : WEIGHTS).length)),
    file: join(below, name),
  }));
  const texts = files.filter((name) => !name.endsWith(WEIGHTS) && !name.endsWith(SHARDS));
  return {
    weights,
    texts: texts.map((name) => join(below, name)),
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
    for (const stage of isUnet ? merged : []) stages.push({ checkpoint: await open(stage.file), scale: stage.scale });
    const checkpoint = stages.length > 0 ? mergedUnet(own, stages) : own;
    const isStage = merged.some((stage) => stage.file === file);
    const keys = checkpoint.keys().filter((key) => !isStage || !isMerged(key));
    const isOfStage = !stem.includes(sep);
    const place = {
      folder: join(folder, dirname(stem)),
      name: basename(stem),
      maxShardBytes: isOfStage ? Number.POSITIVE_INFINITY : maxShardBytes,
    };
    return { path: `${stem}${WEIGHTS}`, ...(await convertCheckpoint(checkpoint, place, precision, keys)) };
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
  await checkModel(model, []);
  const given = await readStages(model);
  await checkFolderPlace(out, { inputs: [model], what: 'a model', isOwn: isOfModel });
  await checkModel(model, stageFiles(given));
  const exported = exportedStages(given, options);
  const { stages } = exported;
  const kept = stageFiles(stages);
  const isLeftOut = (path: string): boolean => {
    const isAtTop = !path.includes(sep);
    if (path.endsWith('.tmp') || ['README.md', MANIFEST_FILE].includes(path.split(sep).at(-1)!)) return true;
    if (isAtTop && (path === STAGES_FILE || (path.endsWith(WEIGHTS) && !kept.includes(path)))) return true;
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
