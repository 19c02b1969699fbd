import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What became of a program that ran in a process of its own. */
export interface BoundedOutcome {
  /** Its exit code; undefined where a signal ended it, as a full heap does. */
  readonly code: number | undefined;
  /** What it printed. */
  readonly text: string;
  readonly problems: string;
  /** The most memory that it had, in MB, and the seconds of processor time that it took; NaN where it did not end by itself. */
  readonly megabytes: number;
  readonly seconds: number;
}

const MEASURED = `process.on('exit', () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  console.error('bounded ' + maxRSS / 1024 + ' ' + (userCPUTime + systemCPUTime) / 1e6);
});\n`;

/** Runs the text of a module, whose imports are found from `cwd`, in a process of its own whose heap is bounded and which is ended where it takes too long:
 * for input that may end the process. */
export async function runBounded(
  module: string,
  {
    cwd,
    args = [],
    heapMegabytes = 400,
    timeoutSeconds = 60,
  }: { cwd: string; args?: readonly string[]; heapMegabytes?: number; timeoutSeconds?: number },
): Promise<BoundedOutcome> {
  const node = [`--max-old-space-size=${heapMegabytes}`, '--input-type=module', '-e', MEASURED + module, ...args];
  const child = spawn(process.execPath, node, { cwd, timeout: timeoutSeconds * 1000, killSignal: 'SIGKILL' });
  const read = { text: '', problems: '' };
  child.stdout.on('data', (data) => {
    read.text += data;
  });
  child.stderr.on('data', (data) => {
    read.problems += data;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const [, megabytes, seconds] = /^bounded (\S+) (\S+)$/m.exec(read.problems) ?? [];
  return { ...read, code: code ?? undefined, megabytes: Number(megabytes), seconds: Number(seconds) };
}
