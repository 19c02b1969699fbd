import { type FilePlan, planFiles, runFiles } from '@rass/merge/node';
import { Command, InvalidArgumentError } from 'commander';
import { progressReporter } from '../terminal.ts';

interface MergeFlags {
  out?: string;
  dryRun?: boolean;
  maxShard?: number;
  json?: boolean;
  allowNonFinite?: RegExp[];
}

const UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
/** What a shell expects of a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

/** `5GB`, `500 MB`, or a number of bytes. */
function sizeOf(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]?B?)$/i.exec(text) ?? [];
  const factor = UNITS[unit?.toUpperCase() ?? ''];
  const bytes = Number(digits) * (factor ?? Number.NaN);
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('A size is a number with B, KB, MB, GB or TB, such as 5GB.');
}

function pattern(text: string, earlier: RegExp[] = []): RegExp[] {
  try {
    return [...earlier, new RegExp(text)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function planJson(plan: FilePlan): string {
  const { tensors, bytesRead, bytesWritten, peakBytes, groups, adapters, unmatched, inputs } = plan;
  const stages = plan.recipe.stages.length;
  const all = { tensors, stages, bytesRead, bytesWritten, peakBytes, groups, adapters, unmatched, inputs };
  return JSON.stringify(all, null, 2);
}

async function dryRun(plan: FilePlan, json: boolean): Promise<void> {
  console.log(json ? planJson(plan) : `${plan}`);
  await plan.close();
}

async function run(plan: FilePlan, out: string, flags: MergeFlags): Promise<void> {
  const controller = new AbortController();
  const stop = () => controller.abort();
  process.once('SIGINT', stop);
  const { report, end } = progressReporter();
  const start = performance.now();
  try {
    const result = await runFiles(plan, {
      out,
      ...(flags.maxShard !== undefined && { maxShardBytes: flags.maxShard }),
      ...(flags.allowNonFinite && { allowNonFinite: flags.allowNonFinite }),
      signal: controller.signal,
      onProgress: ({ written, total }) => report({ stage: 'merge', what: plan.recipe.name, done: written, total }),
    });
    end();
    const seconds = (performance.now() - start) / 1000;
    if (flags.json) console.log(JSON.stringify({ ...result, seconds }, null, 2));
    else {
      const size = `${(result.bytes / 1e9).toFixed(2)} GB`;
      console.log(`merged ${result.tensors} tensors, ${size}, in ${seconds.toFixed(1)} s: ${out}`);
    }
  } catch (error) {
    end();
    if (!controller.signal.aborted) throw error;
    console.error(`merge: stopped; ${out} is as it was`);
    process.exitCode = INTERRUPTED;
  } finally {
    process.off('SIGINT', stop);
  }
}

async function merge(recipe: string, flags: MergeFlags): Promise<void> {
  if (flags.out === undefined && !flags.dryRun) {
    throw new Error(
      'merge: --out says where the result goes; got none; give a folder or a .safetensors file, or --dry-run',
    );
  }
  const plan = await planFiles(recipe);
  if (flags.dryRun) await dryRun(plan, flags.json ?? false);
  else await run(plan, flags.out!, flags);
}

/** `rass merge`: merges checkpoints by a recipe, one tensor at a time. */
export function mergeCommand(): Command {
  return new Command('merge')
    .description('merge checkpoints by a recipe, one tensor at a time; the recipes are described with @rass/merge')
    .argument('<recipe>', 'a YAML file; paths in it are from its own folder')
    .option('--out <path>', 'a .safetensors file, or a folder, which is replaced as a whole')
    .option('--dry-run', 'check everything and show what would be done, without reading a weight')
    .option('--max-shard <size>', 'the largest file in the folder (default: 5GB)', sizeOf)
    .option('--json', 'print it for programs')
    .option(
      '--allow-non-finite <pattern>',
      'let tensors that fit it hold infinities and NaNs; may be repeated',
      pattern,
    )
    .action(merge);
}
