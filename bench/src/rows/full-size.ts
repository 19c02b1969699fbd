import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFullSizeModel } from './full-size-model.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const FOLDER = at('../../../.cache/bench/full-size');
const TRAINER = at('../../../apps/trainer/src/main.ts');
const PRECISIONS = ['F16', 'Q8', 'Q4'] as const;

interface Ended {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly output: string;
}

/** Runs a program to its end, and looks at its memory as it goes. @throws when it fails */
function ended(args: readonly string[]): Promise<Ended> {
  const start = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let [output, peakBytes] = ['', 0];
  child.stdout.on('data', (text) => {
    output += text;
  });
  const look = setInterval(() => {
    const status = `/proc/${child.pid}/status`;
    if (!existsSync(status)) return;
    const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8')) ?? [];
    peakBytes = Math.max(peakBytes, 1024 * Number(kilobytes ?? 0));
  }, 100);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(look);
      if (code === 0) resolve({ seconds: (performance.now() - start) / 1000, peakBytes, output });
      else reject(new Error(`bench: a process of the full-size model ends with 0; got ${code}; see what it said`));
    });
  });
}

const bytesOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.safetensors'))
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

interface Run {
  readonly description: string;
  readonly load: number;
  readonly restore: number;
  readonly segment: number;
  readonly gpuBytes: number;
  readonly peakBytes: number;
  /** Different ones in the restored picture. */
  readonly levels: number;
}

/** A model of Stable Diffusion 2.1's and RASS's size with random weights: exported in each precision, opened on WebGPU for both tasks, used once.
 * @returns the lines of a Markdown table, and what computed */
export async function fullSizeTable(): Promise<{ table: string; facts: string }> {
  const model = join(FOLDER, 'model');
  if (!existsSync(model)) {
    await rm(`${model}.tmp`, { recursive: true, force: true });
    const config = (name: string): unknown => JSON.parse(readFileSync(at(`../../configs/${name}.json`), 'utf8'));
    await writeFullSizeModel(`${model}.tmp`, {
      unet: config('unet'),
      vae: config('vae'),
      text: config('text-encoder'),
    });
    await rename(`${model}.tmp`, model);
  }
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);
  const rows: string[] = [];
  let facts = '';
  for (const precision of PRECISIONS) {
    const out = join(FOLDER, precision);
    const written = await ended([TRAINER, 'export', model, '--out', out, '--dtype', precision, '--shard-size', '500']);
    const { output } = await ended([at('../full-size-run.ts'), out]);
    const run = JSON.parse(output.trim().split('\n').at(-1)!) as Run;
    if (run.levels < 2) throw new Error(`bench: the full-size model restores a picture; got one level in all of it`);
    facts = run.description;
    const cells = [precision, gigabytes(bytesOf(out)), written.seconds.toFixed(0), gigabytes(written.peakBytes), run.load.toFixed(0), run.restore.toFixed(0), run.segment.toFixed(0), gigabytes(run.gpuBytes), gigabytes(run.peakBytes)]; // biome-ignore format: one line
    rows.push(`| ${cells.join(' | ')} |`);
    console.log(rows.at(-1));
    await rm(out, { recursive: true });
  }
  const head = [
    '| precision | on disk, GB | export, s | its peak, GB | opening, s | restoring, s | segmenting, s | in GPU, GB | peak of the process, GB |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  return { table: [...head, ...rows].join('\n'), facts };
}
