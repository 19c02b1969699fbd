import { ADE20K_CLASSES } from '@rass/datasets';
import { readClassesFile } from '@rass/datasets/node';
import { selectBackend } from '@rass/kernels';
import { Command } from 'commander';
import { checkFolderPlace, makeFolderBeside, readJsonFile } from '../files.ts';
import { type FusionFile, importModel } from '../import/model.ts';
import { isOfModel } from '../model/folder.ts';

interface ImportFlags {
  scr?: string;
  seg?: string;
  out: string;
  head?: string;
  fusion?: string;
  classes?: string;
}

async function run(model: string, flags: ImportFlags): Promise<void> {
  const { scr, seg, out } = flags;
  if (scr === undefined && seg === undefined)
    throw new Error('import: there is something to import; got nothing; give --scr, --seg or both');
  await checkFolderPlace(out, { inputs: [model], what: 'a model', isOwn: isOfModel });
  await selectBackend();
  const head = flags.head === undefined ? {} : ((await readJsonFile(flags.head)) as Readonly<Record<string, unknown>>);
  const fusion = flags.fusion === undefined ? {} : ((await readJsonFile(flags.fusion)) as FusionFile);
  const classes = flags.classes === undefined ? ADE20K_CLASSES : await readClassesFile(flags.classes);
  await makeFolderBeside(out, (temporary) => importModel(model, { scr, seg, head, fusion, classes }, temporary));
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
    .option(
      '--seg <file>',
      "model_final.pth, stage 2's, as detectron2 saves it; without --scr its UNet is taken, which segments and does not restore",
    )
    .option('--head <file>', 'JSON of a head other than the published one, by transformers')
    .option('--classes <file>', "JSON of classes other than ADE20K's: a list of { name, colour }")
    .option('--fusion <file>', 'JSON of a fusion other than the published one: taps, channels, bottleneck, groups')
    .action(run);
