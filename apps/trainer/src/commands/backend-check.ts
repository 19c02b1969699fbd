import { BACKEND_NAMES, type BackendName, selectBackend } from '@rass/kernels';
import { Argument, Command } from 'commander';
import {
  type AccuracyResult,
  checkAccuracy,
  FORWARD_TOLERANCE,
  GRADIENT_TOLERANCE,
} from '../backend-check/accuracy.ts';
import { CHECK_CASES } from '../backend-check/cases.ts';
import { measureSpeed, type SpeedResult } from '../backend-check/speed.ts';
import { table } from '../terminal.ts';

interface CheckFlags {
  json?: boolean;
  speed: boolean;
  cacheDir?: string;
}

function share(value: number | undefined): string {
  return value === undefined ? '' : value.toExponential(1);
}

function accuracyRow({ name, forward, gradient, ok, failure }: AccuracyResult): string[] {
  return [name, share(forward), share(gradient), ok ? 'ok' : `FAILED${failure ? `: ${failure}` : ''}`];
}

function speedRow({ name, milliseconds, gigaflops, failure }: SpeedResult): string[] {
  if (milliseconds === undefined) return [name, '', `FAILED: ${failure}`];
  return [
    name,
    `${milliseconds.toPrecision(3)} ms`,
    gigaflops === undefined ? '' : `${gigaflops.toPrecision(3)} GFLOP/s`,
  ];
}

async function check(name: BackendName | 'auto', flags: CheckFlags): Promise<void> {
  const backend = await selectBackend(name, flags.cacheDir === undefined ? {} : { cacheDir: flags.cacheDir });
  const accuracy: AccuracyResult[] = [];
  for (const checkCase of CHECK_CASES) accuracy.push(await checkAccuracy(checkCase));
  const speed: SpeedResult[] = [];
  if (!flags.json) {
    console.log(`${backend.name}: ${backend.description}\n`);
    const limits = `at most ${FORWARD_TOLERANCE} and ${GRADIENT_TOLERANCE}`;
    console.log(`largest difference from double precision, as a share of the largest value (${limits})`);
    console.log(table([['op', 'values', 'gradient', ''], ...accuracy.map(accuracyRow)]));
  }
  if (flags.speed) await measureSpeed((result) => speed.push(result));
  if (flags.json) console.log(JSON.stringify({ backend, accuracy, speed }, null, 2));
  else if (flags.speed) console.log(`\n${table([['job', 'median', 'speed'], ...speed.map(speedRow)])}`);
  const failed = accuracy.filter(({ ok }) => !ok).length;
  if (failed === 0) return;
  throw new Error(
    `backend check: every op must agree with double precision; ${failed} of ${accuracy.length} on ${backend.name} did not; ` +
      'choose another backend or version, and report the table above',
  );
}

/** `rass backend check`: runs real ops on a backend and reports accuracy and speed. */
export function checkCommand(): Command {
  return new Command('check')
    .description('run real ops: accuracy against double precision, and speed')
    .addArgument(new Argument('[name]', 'backend').choices(['auto', ...BACKEND_NAMES]).default('auto'))
    .option('--no-speed', 'accuracy only')
    .option('--json', 'print it for programs')
    .option('--cache-dir <folder>', 'where the native backend was installed')
    .action(check);
}
