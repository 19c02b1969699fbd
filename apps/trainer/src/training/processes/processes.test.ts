import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rass } from '../../commands/rass.test-support.ts';
import { trainSmallModel } from '../run-small.test-support.ts';
import { smallScr, smallSeg, smallVae } from '../small-recipes.test-support.ts';

const MAIN = fileURLToPath(new URL('../../main.ts', import.meta.url));
const TIME = 300_000;
const STEPS = 3;

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-processes-'));
  await trainSmallModel(folder);
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function putRecipe(name: string, recipe: object): string {
  const file = path(`${name}.json`);
  writeFileSync(file, JSON.stringify({ ...recipe, name }));
  return file;
}

/** One thread each, so that rounding does not depend on how many there are. */
const ONE_THREAD = {
  ...process.env,
  TF_CPP_MIN_LOG_LEVEL: '3',
  TF_NUM_INTRAOP_THREADS: '1',
  TF_NUM_INTEROP_THREADS: '1',
};

function start(command: readonly string[], recipe: string, out: string, processes: number) {
  const args = [MAIN, ...command, recipe, '--out', path(out), '--backend', 'native', '--processes', String(processes)];
  const child = spawn(process.execPath, args, { env: ONE_THREAD });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      said += data;
    });
  return { child, exited: once(child, 'exit'), said: () => said };
}

async function finish(...asked: Parameters<typeof start>): Promise<void> {
  const { exited, said } = start(...asked);
  const [code] = await exited;
  if (code !== 0) throw new Error(said());
}

/** All files of weights of a run's last checkpoint, the optimiser's state among them. */
function weightsOf(out: string): Record<string, string> {
  const last = path(out, 'checkpoints', `step-${String(STEPS).padStart(8, '0')}`);
  const files = readdirSync(last).filter((name) => name.endsWith('.safetensors'));
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(last, name)).toString('base64')]));
}

describe('a run with several processes', () => {
  const csd = (steps: number) => ({
    ...smallScr(steps, path('small-unet', 'model')),
    loss: { kind: 'csd', warmUp: 2 },
  });
  it.each([
    ['an autoencoder', ['pretrain', 'vae'], () => ({ ...smallVae(STEPS), batch: 1, accumulate: 3 })],
    ['stage 1', ['train', 'scr'], () => ({ ...csd(STEPS), batch: 1, accumulate: 2 })],
    ['stage 2', ['train', 'seg'], () => ({ ...smallSeg(STEPS, path('small-scr', 'model')), batch: 1, accumulate: 2 })],
  ] as const)(
    'trains %s to the same bytes as with one',
    async (_, command, options) => {
      const name = `${command[1]}-alike`;
      const recipe = putRecipe(name, options());
      await Promise.all([1, 2].map((processes) => finish(command, recipe, `${name}-${processes}`, processes)));
      const one = weightsOf(`${name}-1`);
      expect(Object.keys(one).length).toBeGreaterThan(1);
      expect(weightsOf(`${name}-2`)).toEqual(one);
    },
    TIME,
  );

  it(
    'ends with a line when one of them is killed, and goes on from its last checkpoint',
    async () => {
      const recipe = putRecipe('killed', { ...smallVae(40), batch: 1, accumulate: 2 });
      const { child, exited, said } = start(['pretrain', 'vae'], recipe, 'killed', 2);
      while (!said().includes('step 4 ') && !said().includes('step 4/')) {
        if (child.exitCode !== null) throw new Error(said());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ');
      expect(children.length).toBe(1);
      process.kill(Number(children[0]), 'SIGKILL');
      const [code] = await exited;
      expect(code).not.toBe(0);
      expect(said()).toContain('a helper process works until the run ends; one ended with SIGKILL');
      const again = start(['pretrain', 'vae'], recipe, 'killed', 1);
      await again.exited;
      expect(again.said()).toContain('resumed from step');
      expect(again.said()).toContain('trained: ');
    },
    TIME,
  );

  it('is refused more processes than an update has batches, and a student of VSD', async () => {
    const vae = putRecipe('few', { ...smallVae(1), accumulate: 2 });
    const many = await rass('pretrain', 'vae', vae, '--out', path('few'), '--processes', '3');
    expect(many.status).toBe(1);
    expect(many.stderr).toContain(
      'at most one process for each batch of an update, and the recipe has accumulate 2; got 3',
    );
    const vsd = putRecipe('vsd', { ...smallScr(1, path('small-unet', 'model')), accumulate: 2 });
    const student = await rass('train', 'scr', vsd, '--out', path('vsd'), '--processes', '2');
    expect(student.status).toBe(1);
    expect(student.stderr).toContain('a student of VSD learns in one process');
  });
});
