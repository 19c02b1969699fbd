import type { ByteFolder } from '@rass/weights';
import { fileFolder } from '@rass/weights/node';
import { type Model, openModel as openFolder } from './model/open.ts';
import { readStages as readFolderStages, type Stages } from './model/stages.ts';
import { openPipeline as openFolderPipeline, type Pipeline, type PipelineOptions } from './pipeline.ts';

/** Opens a model by the path of its folder. @throws when it is none */
export const openModel = (path: string): Promise<Model> => openFolder(fileFolder(path));

/** What a model's folder has beside diffusers' parts, by its path. @throws when the file is none of this format */
export const readStages = (path: string): Promise<Stages> => readFolderStages(fileFolder(path));

/** Loads what restores, what segments, or both, by the path of a model's folder; else as the package's own openPipeline does.
 * @throws when it is none, or was not trained for what is asked */
export const openPipeline = (root: string | ByteFolder, options: PipelineOptions): Promise<Pipeline> =>
  openFolderPipeline(typeof root === 'string' ? fileFolder(root) : root, options);
