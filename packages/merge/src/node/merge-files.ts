import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { openAdapterSource } from '@rass/lora/node';
import type { MergePlan } from '../plan/merge-plan.ts';
import { planMerge } from '../plan/plan.ts';
import { parseRecipe } from '../recipe/recipe.ts';
import { type RunOptions, runMerge } from '../run/run-merge.ts';
import { type FileHash, startHashing } from './hash.ts';
import { filesOf, openModel } from './open-model.ts';
import { checkPlace, isFile, type Output, startOutput } from './output.ts';

/** A plan over files. */
export interface FilePlan extends MergePlan {
  /** Every file that is read, with its name in the recipe. */
  readonly inputs: readonly InputFile[];
  /** A config.json beside the first model. */
  readonly config?: string;
  /** The name of the first model's file, where it is one that libraries look for. */
  readonly baseName: string;
}

interface InputFile {
  /** As the recipe names it; a shard by its index's name and its own. */
  readonly name: string;
  readonly path: string;
}

export interface MergeFilesOptions extends RunOptions {
  /** A name that ends in .safetensors is one file; any other is a folder, of as many shards as the size asks for. */
  out: string;
  /** Bytes of tensors in one file of a folder; default 5 GB. */
  maxShardBytes?: number;
}

/** What was written. */
export interface MergeResult {
  readonly out: string;
  readonly tensors: number;
  readonly bytes: number;
  readonly inputs: readonly FileHash[];
}

const KNOWN_NAMES = /^(diffusion_pytorch_model|model)[-.]/;
const UNKNOWN_HASH = '0'.repeat(64);

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function readRecipe(path: string): Promise<string> {
  try {
    // A pipe would wait for a writer.
    if (!(await stat(path)).isFile()) throw new Error('no regular file');
    return await readFile(path, 'utf8');
  } catch (cause) {
    const { message } = cause as Error;
    throw new Error(`merge: ${path}: a recipe is a file of YAML; got "${message}"; see the README`, { cause });
  }
}

/** Opens what a recipe file names, by paths from the recipe's own folder, and checks all of it.
 * @throws like parseRecipe and planMerge, or when a file is not there */
export async function planFiles(recipePath: string): Promise<FilePlan> {
  const recipe = parseRecipe(await readRecipe(recipePath), basename(recipePath));
  const place = (path: string): string => resolve(dirname(recipePath), path);
  const inputs = new Map<string, InputFile>();
  const models: string[] = [];
  const add = (name: string, file: string, all: readonly string[]): void => {
    for (const path of all) inputs.set(path, { name: path === file ? name : `${name} ${basename(path)}`, path });
  };
  const plan = await planMerge(recipe, {
    async openModel(model, variant) {
      const { checkpoint, file } = await openModel(place(model), variant);
      add(model, file, await filesOf(file));
      models.push(file);
      return checkpoint;
    },
    async openLora(path) {
      const source = await openAdapterSource(place(path));
      add(path, place(path), source.files);
      return source;
    },
  });
  const config = join(dirname(models[0]), 'config.json');
  const [, baseName = 'model'] = KNOWN_NAMES.exec(basename(models[0])) ?? [];
  return {
    ...plan,
    inputs: [...inputs.values()],
    baseName,
    ...((await exists(config)) && { config }),
  };
}

/** The metadata of a result: the recipe's text, and each input's name, size and hash. `pt` is what Python's libraries look for. */
function metadataOf({ recipe, inputs }: FilePlan, hashes: readonly Pick<FileHash, 'bytes' | 'sha256'>[]) {
  const entries = inputs.map(({ name }, i) => ({ name, bytes: hashes[i].bytes, sha256: hashes[i].sha256 }));
  return { format: 'pt', 'rass.recipe': recipe.text, 'rass.inputs': JSON.stringify(entries) };
}

async function placeholders({ inputs }: FilePlan): Promise<Pick<FileHash, 'bytes' | 'sha256'>[]> {
  return Promise.all(inputs.map(async ({ path }) => ({ bytes: (await stat(path)).size, sha256: UNKNOWN_HASH })));
}

/** No input may be what is replaced: it is read until the end, and a recipe that reads its own result cannot be run again. */
function checkInputs({ inputs }: FilePlan, out: string): void {
  const target = resolve(out);
  const own = inputs.find(({ path }) => path === target || (!isFile(out) && dirname(path) === target));
  if (own === undefined) return;
  throw new Error(
    `merge: ${out}: a result does not replace what it is made of; got ${own.name} there; choose another name`,
  );
}

/** Runs a plan of files: tensor by tensor, hidden beside the result's place until all of it is on the disk. The recipe and the SHA-256
 * of every input file stand in the result's metadata, as `rass.recipe` and `rass.inputs`. Closes the plan.
 * @throws like runMerge, or when the result cannot be written; then what was there before is untouched */
export async function runFiles(
  plan: FilePlan,
  { out, maxShardBytes, ...options }: MergeFilesOptions,
): Promise<MergeResult> {
  const { specs, inputs, baseName, config } = plan;
  let output: Output | undefined;
  let hashing: ReturnType<typeof startHashing> | undefined;
  try {
    checkInputs(plan, out);
    await checkPlace({ out, maxShardBytes });
    const metadata = metadataOf(plan, await placeholders(plan));
    output = await startOutput(specs, { out, maxShardBytes, baseName, config, metadata });
    hashing = startHashing(
      inputs.map(({ path }) => path),
      options.signal,
    );
    await runMerge(plan, output.writer, options);
    const hashes = await hashing.done;
    options.signal?.throwIfAborted();
    await output.finish(metadataOf(plan, hashes));
    return { out, tensors: plan.tensors, bytes: plan.bytesWritten, inputs: hashes };
  } catch (error) {
    await output?.abort();
    // Whatever the signal has broken off may say so in its own words.
    throw options.signal?.aborted ? options.signal.reason : error;
  } finally {
    await hashing?.stop();
    await plan.close();
  }
}

/** Merges what a recipe file says into a file or a folder. @throws like planFiles and runFiles */
export async function mergeFiles(recipePath: string, options: MergeFilesOptions): Promise<MergeResult> {
  return runFiles(await planFiles(recipePath), options);
}
