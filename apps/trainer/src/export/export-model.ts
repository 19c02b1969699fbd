import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { STAGES_FILE } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { MANIFEST_FILE, makeManifest } from '@rass/weights';
import { fileFolder } from '@rass/weights/node';
import { checkFolderPlace, exists, jsonText, makeFolderBeside } from '../files.ts';
import { INDEX, isOfModel, stageFiles, writeIndex } from '../model/folder.ts';
import { convertFile, type Precision } from './convert.ts';
import { type ExportedFile, modelCard } from './model-card.ts';

export interface ExportOptions {
  readonly precision: Precision;
  readonly name: string;
  /** Leave the tokenizer out: a model without one has that of Stable Diffusion 2. */
  readonly withoutTokenizer?: boolean;
}

/** Writes a model's folder anew, its weights in the given precision, with a model card and files.json, the list of its files and their hashes. The folder is there whole or not at all.
 * @throws when it is no model, or a number does not fit the type */
export async function exportModel(model: string, out: string, options: ExportOptions): Promise<ExportedFile[]> {
  if (!(await exists(join(model, INDEX)))) {
    throw new Error(`export: ${model} is a model's folder with ${INDEX}; got none; of a run, give the model/ in it`);
  }
  const stages = await readStages(model);
  await checkFolderPlace(out, { inputs: [model], what: 'a model', isOwn: isOfModel });
  const own = stageFiles(stages);
  const missing = (
    await Promise.all(own.map(async (file) => ((await exists(join(model, file))) ? [] : [file])))
  ).flat();
  if (missing.length > 0) {
    throw new Error(`export: ${model} has what its ${STAGES_FILE} names; got no ${missing[0]}; copy it there, too`);
  }
  const files: ExportedFile[] = [];
  await makeFolderBeside(out, async (folder) => {
    const walk = async (below: string): Promise<void> => {
      for (const entry of await readdir(join(model, below), { withFileTypes: true })) {
        const path = join(below, entry.name);
        if (['README.md', MANIFEST_FILE].includes(entry.name) || entry.name.endsWith('.tmp')) continue;
        if (options.withoutTokenizer && path === 'tokenizer') continue;
        if (below === '' && entry.name.endsWith('.safetensors') && !own.includes(entry.name)) continue;
        if (entry.isDirectory()) {
          await mkdir(join(folder, path));
          await walk(path);
        } else if (entry.name.endsWith('.safetensors')) {
          files.push({ path, ...(await convertFile(join(model, path), join(folder, path), options.precision)) });
        } else await copyFile(join(model, path), join(folder, path));
      }
    };
    await walk('');
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
  return files;
}
