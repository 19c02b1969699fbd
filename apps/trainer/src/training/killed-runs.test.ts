import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@rass/testkit';
import { latestCheckpoint } from '@rass/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallScr, smallSeg, smallUnet, smallVae } from './small-recipes.test-support.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const STEPS = 40;
const KILLS = 20;
const TIME = 900_000;

let folder: string;
const path = (name: string) => join(folder, name);

function putRecipe(recipe: { readonly name: string }): string {
  const file = path(`${recipe.name}.json`);
  writeFileSync(file, JSON.stringify(recipe));
  return file;
}

type Command = readonly ['pretrain' | 'train', 'vae' | 'unet' | 'scr' | 'seg'];

/** A run of the command in a process of its own. */
function start([command, kind]: Command, recipe: string, out: string) {
  const args = [MAIN, command, kind, recipe, '--out', path(out), '--backend', 'native'];
  const child = spawn(process.execPath, args, { env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3' } });
  let said = '';
  child.stdout.on('data', (data) => {
    said += data;
  });
  child.stderr.on('data', (data) => {
    said += data;
  });
  return { child, exited: once(child, 'exit'), said: () => said };
}

/** Runs to the end. */
async function finish(command: Command, recipe: string, out: string): Promise<string> {
  const { exited, said } = start(command, recipe, out);
  const [code] = await exited;
  if (code !== 0) throw new Error(said());
  return said();
}

/** Kills a run when it has taken a number of steps and some milliseconds more. @returns whether it was still running */
async function kill(command: Command, recipe: string, out: string, steps: number, delay: number): Promise<boolean> {
  const { child, exited, said } = start(command, recipe, out);
  let isOver = false;
  exited.then(() => {
    isOver = true;
  });
  while (!isOver && (said().match(/^step /gm)?.length ?? 0) < steps) await sleep(5);
  await sleep(delay);
  const wasRunning = child.exitCode === null;
  child.kill('SIGKILL');
  await exited;
  return wasRunning;
}

/** All files of weights of a run: those of its last checkpoint and of the trained model. */
function weightsOf(out: string, model: string): Record<string, string> {
  const last = join(path(out), 'checkpoints', `step-${String(STEPS).padStart(8, '0')}`);
  const files = readdirSync(last).filter((name) => name.endsWith('.safetensors'));
  const all = [...files.map((name) => join(last, name)), join(path(out), 'model', model)];
  return Object.fromEntries(all.map((file) => [file.slice(path(out).length), readFileSync(file).toString('base64')]));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-killed-'));
  await finish(['pretrain', 'vae'], putRecipe(smallVae(1)), 'vae');
  await finish(['pretrain', 'unet'], putRecipe(smallUnet(1, path('vae/model'))), 'unet');
  await finish(['train', 'scr'], putRecipe({ ...smallScr(1, path('unet/model')), name: 'first-scr' }), 'first-scr');
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  { kind: 'scr', file: 'scr.safetensors', recipe: () => smallScr(STEPS, path('unet/model')) },
  { kind: 'seg', file: 'seg.safetensors', recipe: () => smallSeg(STEPS, path('first-scr/model')) },
] as const)(`a run of $kind that is killed at ${KILLS} moments`, ({ kind, file, recipe }) => {
  it(
    'ends in the bytes of one that never was, and always has a checkpoint that can be read',
    async () => {
      const command = ['train', kind] as const;
      const at = putRecipe(recipe());
      await finish(command, at, `${kind}-whole`);
      const random = seededRandom(kind === 'scr' ? 1 : 2);
      const out = `${kind}-killed`;
      let kills = 0;
      while (kills < KILLS) {
        const steps = Math.floor(random() * 5);
        if (await kill(command, at, out, steps, random() * 400)) kills += 1;
        else throw new Error(`the run was over after ${kills} kills; give it more steps`);
        const { latest, broken } = await latestCheckpoint(join(path(out), 'checkpoints'));
        expect(broken).toEqual([]);
        expect(latest === undefined || latest.step % 2 === 0).toBe(true);
      }
      const said = await finish(command, at, out);
      expect(said).toContain('resumed from step');
      expect(weightsOf(out, file)).toEqual(weightsOf(`${kind}-whole`, file));
    },
    TIME,
  );
});
