import { type ByteFolder, WeightsError } from '@rass/weights';
import { fileFolder } from '@rass/weights/node';
import { type Model, type ModelOptions, openModel as openFolder } from './model/open.ts';
import { readStages as readFolderStages, type Stages } from './model/stages.ts';
import { openPipeline as openFolderPipeline, type Pipeline, type PipelineOptions } from './pipeline.ts';

async function explained<T>(path: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!(error instanceof WeightsError && error.rule === 'NoModelIndex')) throw error;
    throw new Error(`${error.message}; of a run, give the folder "model" in ${path}`, { cause: error });
  }
}

/** Opens a model by the path of its folder. @throws when it is none */
export const openModel = (path: string, options?: ModelOptions): Promise<Model> =>
  explained(path, openFolder(fileFolder(path), options));

/** What a model's folder has beside diffusers' parts, by its path. @throws when the file is none of this format */
export const readStages = (path: string): Promise<Stages> => readFolderStages(fileFolder(path));

/** Loads what restores, what segments, or both, by the path of a model's folder; else as the package's own openPipeline does.
 * @throws when it is none, or was not trained for what is asked */
export const openPipeline = (root: string | ByteFolder, options: PipelineOptions): Promise<Pipeline> =>
  typeof root === 'string'
    ? explained(root, openFolderPipeline(fileFolder(root), options))
    : openFolderPipeline(root, options);
