import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shapeParams } from '@rass/nn';
import { seededRandom } from '@rass/testkit/random';
import { parseUnetConfig, unetParams } from '@rass/unet';
import type { TensorSpec } from '@rass/weights';
import { createSafetensors } from '@rass/weights/node';
import { median, type Result } from '../duel.ts';

/** Values that a model's tensors are cut from: drawing 866 million would take longer than merging them. */
const PATTERN_VALUES = 1 << 22;
/** How often a process is asked how much memory it has held. */
const LOOK_MS = 20;

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** mergekit's own environment, which `pnpm golden merge --setup-only` makes. */
function mergekitProgram(): string {
  const python = process.env.RASS_PYTHON_MERGE ?? join(root, '.cache/python-merge/bin/python');
  const program = join(dirname(python), 'mergekit-pytorch');
  if (existsSync(program)) return program;
  throw new Error(
    `bench: merge compares with mergekit; got no ${program}; run \`pnpm golden merge --setup-only\` once`,
  );
}

/** @throws when it is not set up */
export function mergekitVersion(): string {
  const ask = 'from importlib.metadata import version; print(version("mergekit"))';
  const { stdout } = spawnSync(join(dirname(mergekitProgram()), 'python'), ['-c', ask], { encoding: 'utf8' });
  return stdout.trim();
}

/** The tensors of Stable Diffusion 2.1's UNet, as its checkpoint has them. */
function unetSpecs(): Map<string, TensorSpec> {
  const specs = new Map<string, TensorSpec>();
  const config = JSON.parse(readFileSync(new URL('../../configs/unet.json', import.meta.url), 'utf8'));
  const source = shapeParams(({ key, checkpointShape }) =>
    specs.set(key, { dtype: 'F32', shape: [...checkpointShape] }),
  );
  unetParams(source, parseUnetConfig(config));
  return specs;
}

async function writeModel(path: string, seed: number): Promise<void> {
  const next = seededRandom(seed);
  const pattern = Float32Array.from({ length: PATTERN_VALUES }, () => next() - 0.5);
  const writer = await createSafetensors(path, unetSpecs(), { metadata: { format: 'pt' } });
  for (const name of writer.names) {
    const size = writer.specs.get(name)!.shape.reduce((a, b) => a * b, 1);
    for (let start = 0; start < size; start += PATTERN_VALUES) {
      await writer.writePart(name, start, pattern.subarray(0, Math.min(PATTERN_VALUES, size - start)));
    }
  }
  await writer.finish();
}

interface Measured {
  readonly seconds: number;
  readonly peakBytes: number;
}

/** Runs a program to its end. */
function measured(program: string, args: readonly string[]): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, OMP_NUM_THREADS: '2' },
    });
    let [peakBytes, errors] = [0, ''];
    const look = setInterval(() => {
      try {
        const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
        if (kilobytes !== undefined) peakBytes = Number(kilobytes) * 1024;
      } catch {
        // It has just ended.
      }
    }, LOOK_MS);
    child.stderr.on('data', (text) => {
      errors = `${errors}${text}`.slice(-2000);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(look);
      if (code === 0) resolve({ seconds: (performance.now() - start) / 1000, peakBytes });
      else reject(new Error(`bench: ${program} ended with ${code}:\n${errors}`));
    });
  });
}

const RECIPE = (folder: string): string => `merge_method: linear
models:
  - model: ${join(folder, 'a.safetensors')}
    parameters: { weight: 0.3 }
  - model: ${join(folder, 'b.safetensors')}
    parameters: { weight: 0.7 }
`;

const OURS = 'ours';
const THEIRS = 'theirs';

/** Linear merges of two UNets in turns, as whole programs, each first in every other round. The results are removed at once. */
export async function mergeDuel(rounds: number, say: (line: string) => void): Promise<Result> {
  const program = mergekitProgram();
  const folder = mkdtempSync(join(tmpdir(), 'rass-bench-merge-'));
  const recipe = join(folder, 'recipe.yaml');
  const sides: Record<string, () => Promise<Measured>> = {
    [OURS]: () =>
      measured(process.execPath, [
        join(root, 'apps/trainer/src/main.ts'),
        'merge',
        recipe,
        '--out',
        join(folder, 'merged'),
      ]),
    [THEIRS]: () => measured(program, [recipe, join(folder, 'merged'), '--lazy-unpickle']),
  };
  const seen: Record<string, Measured[]> = { [OURS]: [], [THEIRS]: [] };
  try {
    writeFileSync(recipe, RECIPE(folder));
    await writeModel(join(folder, 'a.safetensors'), 1);
    await writeModel(join(folder, 'b.safetensors'), 2);
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? [OURS, THEIRS] : [THEIRS, OURS]) {
        // What was written before is no burden of this side's.
        spawnSync('sync');
        const one = await sides[side]();
        seen[side].push(one);
        say(`${side}: ${one.seconds.toFixed(1)} s, ${(one.peakBytes / 1e9).toFixed(2)} GB`);
        rmSync(join(folder, 'merged'), { recursive: true });
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const [ours, theirs] = [seen[OURS], seen[THEIRS]];
  return {
    ourSeconds: median(ours.map(({ seconds }) => seconds)),
    theirSeconds: median(theirs.map(({ seconds }) => seconds)),
    ratio: median(ours.map(({ seconds }, i) => seconds / theirs[i].seconds)),
    ourPeakBytes: Math.max(...ours.map(({ peakBytes }) => peakBytes)),
    theirPeakBytes: Math.max(...theirs.map(({ peakBytes }) => peakBytes)),
  };
}
