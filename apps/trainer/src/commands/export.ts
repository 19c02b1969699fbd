import { basename } from 'node:path';
import type { EncodableDtype } from '@rass/weights';
import { Command, Option } from 'commander';
import { exportModel } from '../export/export-model.ts';
import { table } from '../terminal.ts';

interface ExportFlags {
  out: string;
  dtype: EncodableDtype;
  name?: string;
  tokenizer: boolean;
}

async function run(model: string, { out, dtype, name = basename(out), tokenizer }: ExportFlags): Promise<void> {
  const files = await exportModel(model, out, { dtype, name, withoutTokenizer: !tokenizer });
  const rows = files.map(({ path, numbers, bytes }) => [
    path,
    numbers.toLocaleString('en'),
    `${(bytes / 1e6).toFixed(2)} MB`,
  ]);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  console.log(table([['file', 'numbers', 'size'], ...rows, ['all', '', `${(total / 1e6).toFixed(2)} MB`]]));
}

/** `rass export ...` */
export const exportCommand = (): Command =>
  new Command('export')
    .description("write a model's folder anew: weights in another type, and a model card")
    .argument('<model>', "a model's folder, as rass train writes it")
    .requiredOption('--out <folder>', 'where it is written; what is there is replaced')
    .addOption(new Option('--dtype <type>', 'of the weights').choices(['F32', 'F16', 'BF16']).default('F16'))
    .option('--name <name>', "on the model card (default: the folder's)")
    .option('--no-tokenizer', 'leave the tokenizer out, where it is that of Stable Diffusion 2')
    .action(run);
