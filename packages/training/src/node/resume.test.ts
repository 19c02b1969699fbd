import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeOnBackends, seededRandom } from '@rass/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';

const STEPS = 20;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-resume-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const url = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** A small training with everything: groups, clipping, a schedule, an average, an order of samples, and a checkpoint at
 * its end. */
const RUN = `
  import { createHash } from 'node:crypto';
  import { gradients, selectBackend, silu } from '@rass/kernels';
  import { linear, randomParams, trainable, trainableTensors } from '@rass/nn';
  import { dispose, gather, mean, square, sub, tensor, tidy } from '@tensorflow/tfjs-core';
  import * as training from ${url('../index.ts')};
  import { openCheckpoints } from ${url('../node.ts')};
  const [backend, folder, until] = process.argv.slice(1);
  await selectBackend(backend);
  const from = randomParams(3);
  const tree = trainable({ first: from.at('first').linear(6, 16), last: from.at('last').linear(16, 2) }, () => true);
  const parameters = trainableTensors(tree);
  const groups = training.parameterGroups(parameters, [{ match: 'bias', weightDecay: 0 }], { weightDecay: 0.1 });
  const optimizer = training.adamW(groups);
  const average = training.exponentialAverage(parameters, { decay: 0.9, warmUp: true });
  const rate = training.warmUpPolynomialSchedule({ rate: 0.05, steps: ${STEPS}, warmUp: { steps: 5 } });
  const sampler = training.epochSampler({ size: 11, seed: 4, batch: 3 });
  const x_SC = tensor(Float32Array.from({ length: 66 }, (_, i) => Math.sin(i * i)), [11, 6]);
  const y_SV = tensor(Float32Array.from({ length: 22 }, (_, i) => Math.cos(3 * i)), [11, 2]);
  const checkpoints = await openCheckpoints(folder);
  const parts = { parameters, optimizer, average };
  const resumed = await checkpoints.resume(parts, { recipe: { model: 'tiny' } });
  const start = resumed?.step ?? 0;
  for (let step = start; step < Number(until); step++) {
    const indices = [...sampler.at(step).indices];
    const found = gradients(() => {
      const out = linear(tree.last, silu(linear(tree.first, gather(x_SC, indices))));
      return mean(square(sub(out, gather(y_SV, indices))));
    }, parameters);
    const { scale } = await training.gradientNorm(found, { clip: 0.05 });
    optimizer.step(found, { learningRate: rate(step), gradientScale: scale });
    average.update();
    dispose(found);
  }
  await checkpoints.save({ step: Number(until), parts, recipe: { model: 'tiny' } });
  await checkpoints.close();
  const hash = createHash('sha256');
  for (const named of [parameters, optimizer.tensors, average.tensors]) {
    for (const each of Object.values(named)) hash.update(new Uint8Array((await each.data()).slice().buffer));
  }
  console.log(JSON.stringify({ start, hash: hash.digest('hex'), first: (await Object.values(parameters)[0].data())[0] }));
  process.exit(0);`;

interface Outcome {
  readonly start: number;
  readonly hash: string;
  readonly first: number;
}

function run(backend: string, name: string, until: number): Outcome {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', RUN, backend, join(folder, name)];
  const { stdout, stderr, status } = spawnSync(process.execPath, [...args, String(until)], {
    encoding: 'utf8',
    cwd: dirname(fileURLToPath(import.meta.url)),
  });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

describeOnBackends(
  'a run in three processes',
  (backend) => {
    it('ends in the bytes of a run in one', () => {
      const whole = run(backend, 'whole', STEPS);
      const random = seededRandom(20);
      const stops = [1 + Math.floor(random() * 9), 10 + Math.floor(random() * 9)];
      expect(run(backend, 'parts', stops[0])).toMatchObject({ start: 0 });
      const between = run(backend, 'parts', stops[1]);
      expect(between.start).toBe(stops[0]);
      expect(between.first, 'training moves').not.toBe(whole.first);
      expect(run(backend, 'parts', STEPS)).toEqual({ ...whole, start: stops[1] });
    });
  },
  ['native', 'wasm', 'cpu'],
);
