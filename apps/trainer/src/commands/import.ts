import { join } from 'node:path';
import { ADE20K_CLASSES, type DatasetClass } from '@rass/datasets';
import { readClassesFile } from '@rass/datasets/node';
import { selectBackend } from '@rass/kernels';
import { parseMask2FormerConfig } from '@rass/mask2former';
import { disposeParams, namedTensors, randomParams } from '@rass/nn';
import { loadStageFrom, type Model, type SegmentationStage, STAGES_FILE, type Stages } from '@rass/pipeline';
import { openModel, readStages } from '@rass/pipeline/node';
import { addSegLora, isTrainedInStage, rassHeadParams } from '@rass/rass';
import { openCheckpoint } from '@rass/weights/node';
import { Command } from 'commander';
import { checkFolderPlace, makeFolderBeside, readJsonFile } from '../files.ts';
import { importScr } from '../import/scr.ts';
import { upstreamSegmentation } from '../import/seg.ts';
import { isOfModel, linkFolder, writeStages } from '../model/folder.ts';
import { saveStage } from '../model/stages.ts';
import { modelTaps } from '../model/taps.ts';

interface ImportFlags {
  scr?: string;
  seg?: string;
  out: string;
  head?: string;
  fusion?: string;
  classes?: string;
}

const SCR_FILE = 'scr.safetensors';
const SEG_FILE = 'seg.safetensors';
/** Upstream's Seg LoRA. */
const [RANK, ALPHA] = [4, 8];
const FUSION = { channels: 512, groups: 32 };

const stageClass = ({ name, colour: [red, green, blue] }: DatasetClass): SegmentationStage['classes'][number] => ({
  name,
  colour: [red, green, blue],
});

async function importSegmentation(
  file: string,
  folder: Model,
  to: string,
  flags: ImportFlags,
): Promise<SegmentationStage> {
  const classes = flags.classes === undefined ? ADE20K_CLASSES : await readClassesFile(flags.classes);
  const head = { ...(flags.head !== undefined && (await readJsonFile(flags.head))), num_labels: classes.length };
  const widths = {
    ...FUSION,
    ...(flags.fusion !== undefined && (await readJsonFile(flags.fusion))),
  } as typeof FUSION & { taps?: string[] };
  const base = await folder.loadUnet();
  const vae = await folder.loadVae();
  const { taps: names, ...rest } = widths;
  const fusion = { ...rest, taps: modelTaps(vae.config, base.config, names) };
  disposeParams(vae);
  const unet = await addSegLora(base, { rank: RANK, alpha: ALPHA });
  const start = rassHeadParams(randomParams(0), parseMask2FormerConfig(head), fusion);
  const tree = { unet, ...start };
  const ofHead = new Set(namedTensors(start).map(({ key }) => key));
  const choose = (key: string): boolean => ofHead.has(key) || isTrainedInStage(key);
  const wanted = namedTensors(tree)
    .map(({ key }) => key)
    .filter(choose);
  const checkpoint = await openCheckpoint(file);
  try {
    const loaded = await loadStageFrom(upstreamSegmentation(checkpoint, wanted), tree, choose);
    await saveStage(to, loaded.unet, loaded.fusion, loaded.head);
    disposeParams([loaded.unet, loaded.fusion, loaded.head]);
  } finally {
    await checkpoint.close();
  }
  const common = { file: SEG_FILE, rank: RANK, alpha: ALPHA, timestep: 1, mergesRestoration: true, size: 512 };
  return { ...common, classes: classes.map(stageClass), head, fusion };
}

async function run(model: string, flags: ImportFlags): Promise<void> {
  const { scr, seg, out } = flags;
  if (scr === undefined && seg === undefined)
    throw new Error('import: there is something to import; got nothing; give --scr, --seg or both');
  await checkFolderPlace(out, { inputs: [model], what: 'a model', isOwn: isOfModel });
  await selectBackend();
  const folder = await openModel(model);
  try {
    await makeFolderBeside(out, async (temporary) => {
      await linkFolder(model, temporary, { except: [STAGES_FILE] });
      let stages: Stages = await readStages(model);
      if (scr !== undefined) {
        const unet = await folder.loadUnet();
        const restoration = await importScr(scr, unet, join(temporary, SCR_FILE));
        disposeParams(unet);
        stages = { ...stages, restoration: { file: SCR_FILE, ...restoration } };
      }
      if (seg !== undefined) {
        stages = { ...stages, segmentation: await importSegmentation(seg, folder, join(temporary, SEG_FILE), flags) };
      }
      await writeStages(temporary, stages);
    });
  } finally {
    await folder.close();
  }
  console.log(`imported: ${out}`);
}

/** `rass import ...` */
export const importCommand = (): Command =>
  new Command('import')
    .description(
      "take over RASS's published checkpoints, with the Stable Diffusion that they were trained on, as a model's folder",
    )
    .argument('<model>', "Stable Diffusion 2.1 in diffusers' layout")
    .requiredOption('--out <folder>', "where the model's folder is written")
    .option('--scr <file>', "scr.pkl, stage 1's LoRA")
    .option('--seg <file>', "model_final.pth, stage 2's, as detectron2 saves it")
    .option('--head <file>', 'JSON of a head other than the published one, by transformers')
    .option('--classes <file>', "JSON of classes other than ADE20K's: a list of { name, colour }")
    .option('--fusion <file>', 'JSON of a fusion other than the published one: taps, channels, bottleneck, groups')
    .action(run);
