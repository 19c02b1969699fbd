import { Argument, Command } from 'commander';
import { progressReporter } from '../terminal.ts';
import { installLpips, type LpipsInstallOptions } from '../weights/lpips.ts';

interface InstallFlags extends Omit<LpipsInstallOptions, 'onProgress'> {
  optional?: boolean;
}

async function install(_name: string, { optional, ...flags }: InstallFlags): Promise<void> {
  const { report, end } = progressReporter();
  try {
    const { files, installed } = await installLpips({ ...flags, onProgress: report });
    end();
    for (const file of files) console.log(`lpips weights ${installed ? 'converted' : 'were already there'}: ${file}`);
  } catch (error) {
    end();
    if (!optional) throw error;
    console.log(`lpips weights not installed: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** `rass weights ...`: published weights, made ready for these packages. */
export function weightsCommand(): Command {
  const installCommand = new Command('install')
    .description('fetch published weights, check their hash and convert them to safetensors')
    .addArgument(new Argument('<name>', 'which weights').choices(['lpips']))
    .option('--file <archive>', 'the archive of the weights, already at hand; nothing is downloaded')
    .option('--force', 'convert again what is there')
    .option('--cache-dir <folder>', "where to keep them (default: RASS_CACHE, or rass in the user's cache folder)")
    .option('--index-url <url>', 'package index to take them from')
    .option('--optional', 'when they cannot be installed, say so in one line and succeed')
    .action(install);
  return new Command('weights').description('published weights for the models here').addCommand(installCommand);
}
