import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetClass } from '@rass/datasets';
import { parseMask2FormerConfig } from '@rass/mask2former';
import { disposeParams, namedTensors, randomParams } from '@rass/nn';
import {
  loadStageFrom,
  type RestorationStage,
  type SegmentationStage,
  STAGES_FILE,
  type Stages,
  stageLora,
} from '@rass/pipeline';
import { openModel, readStages } from '@rass/pipeline/node';
import { addSegLora, isTrainedInStage, rassHeadParams, scrAdapters } from '@rass/rass';
import type { Checkpoint, DiffusersFolder } from '@rass/weights';
import { createSafetensors, openCheckpoint, openDiffusersFolder } from '@rass/weights/node';
import { adapterShapes, isMerged, mergedUnet } from '../export/merged-unet.ts';
import { linkFolder, writeStages } from '../model/folder.ts';
import { saveStage } from '../model/stages.ts';
import { modelTaps } from '../model/taps.ts';
import { checkSame } from './agreement.ts';
import { importScr } from './scr.ts';
import { upstreamLora, upstreamSegmentation } from './seg.ts';
import { type UpstreamParts, upstreamParts } from './upstream-unet.ts';

/** A fusion other than the published one. */
export interface FusionFile {
  readonly taps?: readonly string[];
  readonly channels?: number;
  readonly bottleneck?: number;
  readonly groups?: number;
}

/** What is imported. */
export interface Imported {
  readonly scr: string | undefined;
  readonly seg: string | undefined;
  readonly head: Readonly<Record<string, unknown>>;
  readonly fusion: FusionFile;
  readonly classes: readonly DatasetClass[];
}

const SCR_FILE = 'scr.safetensors';
const SEG_FILE = 'seg.safetensors';
const FUSION = { channels: 512, groups: 32 };
const UNET_FILE = 'diffusion_pytorch_model.safetensors';
/** The base's part that the checkpoint's takes the place of. */
const UNET = 'unet';

const stageClass = ({ name, colour: [red, green, blue] }: DatasetClass): SegmentationStage['classes'][number] => ({
  name,
  colour: [red, green, blue],
});

async function importSegmentation(
  checkpoint: Checkpoint,
  model: string,
  to: string,
  { head: ofHead, fusion: widths, classes }: Imported,
): Promise<Omit<SegmentationStage, 'mergesRestoration'>> {
  const lora = upstreamLora(checkpoint);
  const head = { ...ofHead, num_labels: classes.length };
  const { taps: names, ...rest } = { ...FUSION, ...widths };
  const folder = await openModel(model);
  try {
    const base = await folder.loadUnet();
    const vae = await folder.loadVae();
    const fusion = { ...rest, taps: modelTaps(vae.config, base.config, names) };
    disposeParams(vae);
    const unet = await addSegLora(base, lora);
    const start = rassHeadParams(randomParams(0), parseMask2FormerConfig(head), fusion);
    const tree = { unet, ...start };
    const inHead = new Set(namedTensors(start).map(({ key }) => key));
    const choose = (key: string): boolean => inHead.has(key) || isTrainedInStage(key);
    const wanted = namedTensors(tree)
      .map(({ key }) => key)
      .filter(choose);
    const loaded = await loadStageFrom(upstreamSegmentation(checkpoint, wanted), tree, choose);
    await saveStage(to, loaded.unet, loaded.fusion, loaded.head);
    disposeParams([loaded.unet, loaded.fusion, loaded.head]);
    return { file: SEG_FILE, ...lora, timestep: 1, size: 512, classes: classes.map(stageClass), head, fusion };
  } finally {
    await folder.close();
  }
}

/** Writes the UNet of the checkpoint, in which restoration is merged, in place of the base's. */
async function writeUnet(unet: Checkpoint, from: string, to: string): Promise<void> {
  await mkdir(join(to, UNET));
  await copyFile(join(from, UNET, 'config.json'), join(to, UNET, 'config.json'));
  const specs = new Map(unet.keys().map((key) => [key, unet.info(key)]));
  const writer = await createSafetensors(join(to, UNET, UNET_FILE), specs, { metadata: { format: 'pt' } });
  try {
    for (const key of specs.keys()) await writer.write(key, (await unet.read(key)).data);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

const RULE = 'it was trained on the Stable Diffusion that is given';
const REMEDY = 'give the one that it was trained on, 2.1 base for the published file';

const LEAF = /\.(weight|bias)$/;

/** That the frozen parts and what no adapter is on are those of the base. @throws naming what differs */
async function checkBase(
  parts: UpstreamParts,
  base: DiffusersFolder,
  unet: Checkpoint,
  config: unknown,
): Promise<void> {
  const adapted = new Set(
    [...adapterShapes(config, scrAdapters()).keys()].map((key) => key.replace(/\.lora_[AB]\..*$/, '')),
  );
  const isFrozen = (key: string): boolean => !adapted.has(key.replace(/\.weight$/, '')) && !isMerged(key);
  const agree = (found: Checkpoint, expected: Checkpoint, what: string, keys: readonly string[]): Promise<void> =>
    checkSame(found, expected, { what, keys, rule: RULE, remedy: REMEDY });
  if (parts.unet !== undefined) await agree(parts.unet, unet, 'the UNet', parts.unet.keys().filter(isFrozen));
  for (const [part, what] of [
    ['vae', 'the autoencoder'],
    ['textEncoder', 'the text encoder'],
  ] as const) {
    const [found, expected] = [parts[part], base[part]?.checkpoint];
    if (found === undefined || expected === undefined) continue;
    await agree(
      found,
      expected,
      what,
      found.keys().filter((key) => LEAF.test(key)),
    );
  }
}

/** That the checkpoint's UNet is the base with restoration's adapters, where they are beside it, merged. @throws naming what differs */
async function checkRestoration(
  found: Checkpoint,
  unet: Checkpoint,
  config: unknown,
  { folder, stage }: { readonly folder: string; readonly stage: RestorationStage },
): Promise<void> {
  const lora = stageLora(stage);
  const scr = stage.file === undefined ? undefined : await openCheckpoint(join(folder, stage.file));
  try {
    const stages = scr === undefined || lora === undefined ? [] : [{ checkpoint: scr, adapters: scrAdapters(lora) }];
    // The first convolution was trained once more.
    const keys = found.keys().filter((key) => !isMerged(key));
    const rule = 'its UNet is the base with the SCR LoRA merged';
    const remedy = 'give the scr.pkl that it was trained on, or leave --scr out to segment alone';
    await checkSame(found, mergedUnet(unet, config, stages), { what: 'the UNet', keys, rule, remedy });
  } finally {
    await scr?.close();
  }
}

const keysOf = (part: { readonly checkpoint: Checkpoint } | undefined): string[] => part?.checkpoint.keys() ?? [];

/** Writes a model's folder of Stable Diffusion and RASS's published files. Without the SCR LoRA its UNet is the one in `model_final.pth`, in which
 * that is merged: it segments, and does not restore, since its first convolution is stage 2's.
 * @throws when a file is another one, has more in it than is read, or was trained on another base */
export async function importModel(model: string, imported: Imported, to: string): Promise<void> {
  const { scr, seg } = imported;
  const base = await openDiffusersFolder(model);
  const checkpoint = seg === undefined ? undefined : await openCheckpoint(seg).catch(async (error) => {
    await base.close();
    throw error;
  }); // biome-ignore format: one expression
  try {
    if (base.unet === undefined)
      throw new Error(`${model}: a model to import into has a UNet; got none; give Stable Diffusion's folder`);
    const { config, checkpoint: unet } = base.unet;
    let { restoration } = await readStages(model);
    await mkdir(to, { recursive: true });
    if (scr !== undefined) restoration = { file: SCR_FILE, ...(await importScr(scr, config, join(to, SCR_FILE))) };
    const stages: Stages = { ...(await readStages(model)), ...(restoration && { restoration }) };
    if (checkpoint === undefined) {
      await linkFolder(model, to, { except: [STAGES_FILE, SCR_FILE] });
      return await writeStages(to, stages);
    }
    const keys = { unet: unet.keys(), vae: keysOf(base.vae), textEncoder: keysOf(base.textEncoder) };
    const parts = upstreamParts(checkpoint, keys);
    await checkBase(parts, base, unet, config);
    const isAlone = restoration === undefined;
    if (isAlone && parts.unet === undefined) {
      throw new Error(
        `${seg}: without --scr it has the whole UNet, with the SCR LoRA merged; got what was trained alone; give --scr, too, or the whole file`,
      );
    }
    if (restoration !== undefined && parts.unet !== undefined) {
      const folder = scr === undefined ? model : to;
      await checkRestoration(parts.unet, unet, config, { folder, stage: restoration });
    }
    await linkFolder(model, to, { except: [STAGES_FILE, SEG_FILE, ...(scr === undefined ? [] : [SCR_FILE]), ...(isAlone ? [UNET] : [])] }); // biome-ignore format: one line
    if (isAlone) await writeUnet(parts.unet!, model, to);
    const segmentation = await importSegmentation(checkpoint, model, join(to, SEG_FILE), imported);
    await writeStages(to, { ...stages, segmentation: { ...segmentation, mergesRestoration: !isAlone } });
  } finally {
    await Promise.all([base.close(), checkpoint?.close()]);
  }
}
