import { type InstallOptions, installNativeBackend, isNativeInstalled } from '@rass/kernels/node';
import { Command, Option } from 'commander';
import { progressReporter } from '../terminal.ts';

interface InstallFlags {
  gpu?: boolean;
  force?: boolean;
  wheel?: string[];
  libraryDir?: string;
  cacheDir?: string;
  offline?: boolean;
  tfVersion?: string;
  indexUrl?: string;
  downloader?: 'auto' | 'pip' | 'direct';
  ifMissing?: boolean;
  optional?: boolean;
}

function installOptions(flags: InstallFlags): InstallOptions {
  const { tfVersion, ifMissing: _ifMissing, optional: _optional, ...rest } = flags;
  return tfVersion === undefined ? rest : { ...rest, version: tfVersion };
}

async function install(flags: InstallFlags): Promise<void> {
  if (flags.ifMissing && !flags.force && isNativeInstalled(flags.cacheDir)) return;
  const { report, end } = progressReporter();
  try {
    const done = await installNativeBackend({ ...installOptions(flags), onProgress: report });
    end();
    const how = done.built ? `built in ${done.seconds.toFixed(1)} s` : 'was already there';
    console.log(`native backend: TensorFlow ${done.version} on ${done.device}, ${how}: ${done.addon}`);
    if (flags.gpu && done.device === 'cpu') {
      console.log(
        'no CUDA GPU answered, so it computes on the CPU; `nvidia-smi` should list one, with a driver for CUDA 12',
      );
    }
  } catch (error) {
    end();
    if (!flags.optional) throw error;
    console.log(`native backend not installed: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** `rass backend install`: gives Node the native TensorFlow backend. */
export function installCommand(): Command {
  return new Command('install')
    .description('give Node the native TensorFlow backend, from the TensorFlow wheel')
    .option('--gpu', 'take the CUDA 12 build and its libraries (about 3.4 GB)')
    .option('--force', 'do everything again')
    .option('--wheel <file...>', 'wheel files already at hand; nothing is downloaded')
    .option('--library-dir <folder>', "an unpacked wheel's tensorflow/ folder; nothing is downloaded")
    .option('--cache-dir <folder>', "where to keep it (default: RASS_CACHE, or rass in the user's cache folder)")
    .option('--offline', 'never use the network')
    .option('--tf-version <version>', 'version of the TensorFlow wheel')
    .option('--index-url <url>', 'package index to take the wheel from')
    .addOption(new Option('--downloader <name>', 'who downloads').choices(['auto', 'pip', 'direct']).default('auto'))
    .option('--if-missing', 'do nothing, silently, when it is already there')
    .option('--optional', 'when it cannot be installed, say so in one line and succeed')
    .action(install);
}
