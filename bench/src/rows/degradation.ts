import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { degrade, RASS_DEGRADATION, type RgbImage } from '@rass/degradation';
import { seededRandom } from '@rass/testkit/random';
import { Contestant } from '../contestant.ts';
import { duel } from '../duel.ts';
import type { Line } from '../table.ts';

const SIDE = 512;
/** A run is of so many draws, of which some take thrice the time of others. */
export const IMAGES = 16;

/** A row by the name that both sides know it by. */
interface DegradationRow {
  readonly ours: 'thread' | 'pool';
  readonly theirs: 'degradation' | 'degradation-processes';
  readonly threads: number;
  readonly title: string;
}

const rows: readonly DegradationRow[] = [
  { ours: 'thread', theirs: 'degradation', threads: 1, title: 'one thread' },
  { ours: 'pool', theirs: 'degradation', threads: 2, title: 'a pool of two threads; PyTorch with two threads' },
  { ours: 'pool', theirs: 'degradation-processes', threads: 2, title: 'the same; PyTorch in two processes of one thread' },
]; // biome-ignore format: a table

/** Waves with some grain. */
export function benchPicture(): RgbImage {
  const next = seededRandom(1);
  const data = Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % SIDE, Math.floor(i / 3 / SIDE)];
    return 128 + 70 * Math.sin(x / 9 + (i % 3)) * Math.cos(y / 23) + 40 * (next() - 0.5);
  });
  return { width: SIDE, height: SIDE, data };
}

/** The same image and the same draws on both sides; but the noise itself each draws anew. */
export async function* degradationLines(
  programs: { readonly ours: string; readonly theirs: string; readonly python: string },
  rounds: number,
  found: (versions: Record<string, string>) => void,
): AsyncGenerator<Line> {
  const folder = mkdtempSync(join(tmpdir(), 'rass-bench-degradation-'));
  try {
    const image = benchPicture();
    const records = Array.from({ length: IMAGES }, (_, seed) => degrade(image, RASS_DEGRADATION, { seed }).record);
    const file = join(folder, 'draws.json');
    writeFileSync(file, JSON.stringify({ side: SIDE, data: [...image.data], records }));
    for (const { ours: name, theirs: theirName, threads, title } of rows) {
      const ours = new Contestant('ours', process.execPath, [programs.ours], {});
      const environment = { OMP_NUM_THREADS: `${threads}`, RASS_BENCH_DRAWS: file };
      const theirs = new Contestant('PyTorch', programs.python, [programs.theirs], environment);
      try {
        await ours.prepare(name);
        found({ node: process.version, PyTorch: (await theirs.prepare(theirName)).versions.PyTorch, basicsr: '1.4.2' });
        const result = await duel(ours, theirs, { rounds, secondsPerTurn: 0.5 });
        const [ourSeconds, theirSeconds] = [result.ourSeconds / IMAGES, result.theirSeconds / IMAGES];
        yield { title: `An image of ${SIDE} x ${SIDE}, ${title}`, result: { ...result, ourSeconds, theirSeconds } };
      } finally {
        await Promise.all([ours.close(), theirs.close()]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
