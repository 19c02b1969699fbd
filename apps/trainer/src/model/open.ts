import {
  type NoiseSchedule,
  noiseSchedule,
  parseScheduleConfig,
  parseUnetConfig,
  type Unet,
  unetParams,
} from '@rass/unet';
import { parseVaeConfig, type Vae, vaeParams } from '@rass/vae';
import { type DiffusersFolder, loadParams } from '@rass/weights';
import { openDiffusersFolder } from '@rass/weights/node';
import { readStages, type Stages } from './folder.ts';
import { openTextModel, type TextModel } from './text-model.ts';

/** A model folder that is open: what is asked for is loaded. */
export interface ModelFolder {
  readonly path: string;
  readonly stages: Stages;
  loadVae(): Promise<Vae>;
  loadUnet(): Promise<Unet>;
  loadText(): Promise<TextModel>;
  schedule(): NoiseSchedule;
  close(): Promise<void>;
}

function partOf<K extends keyof DiffusersFolder>(
  folder: DiffusersFolder,
  part: K,
  path: string,
): NonNullable<DiffusersFolder[K]> {
  const found = folder[part];
  if (found !== undefined) return found as NonNullable<DiffusersFolder[K]>;
  throw new Error(
    `model: ${path}: it has a ${String(part)}; got none; give a folder of diffusers, or of an earlier step of training`,
  );
}

/** Opens a model: a folder in diffusers' layout, with the stages that were trained so far.
 * @throws when it is none, or a part that is asked for is not there */
export async function openModel(path: string): Promise<ModelFolder> {
  const [folder, stages] = await Promise.all([openDiffusersFolder(path), readStages(path)]);
  return {
    path,
    stages,
    async loadVae() {
      const { config, checkpoint } = partOf(folder, 'vae', path);
      const parsed = parseVaeConfig(config);
      return (await loadParams(checkpoint, (from) => vaeParams(from, parsed))).params;
    },
    async loadUnet() {
      const { config, checkpoint } = partOf(folder, 'unet', path);
      const parsed = parseUnetConfig(config);
      return (await loadParams(checkpoint, (from) => unetParams(from, parsed))).params;
    },
    loadText: () => openTextModel(partOf(folder, 'textEncoder', path), folder.tokenizer),
    schedule: () => noiseSchedule(parseScheduleConfig(partOf(folder, 'scheduler', path))),
    close: () => folder.close(),
  };
}
