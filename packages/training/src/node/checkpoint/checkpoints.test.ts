import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeOnBackends, expectNoLeaks } from '@rass/testkit';
import { dispose, scalar, tensor, tidy, type Variable, variable, zeros } from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adamW } from '../../optimizer/adamw.ts';
import { exponentialAverage } from '../../optimizer/average.ts';
import { parameterGroups } from '../../optimizer/parameter-groups.ts';
import { sgd } from '../../optimizer/sgd.ts';
import { type Checkpoints, openCheckpoints } from './checkpoints.ts';
import { restorePart } from './restore.ts';
import type { Retention } from './retention.ts';
import { latestCheckpoint, listCheckpoints } from './scan.ts';
import type { TrainingState } from './write-checkpoint.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-checkpoints-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (...steps: string[]) => join(folder, ...steps);
const recipe = { model: 'tiny', schedule: { rate: 0.1, steps: 20 }, seeds: [1, 2] };

/** Opens, runs, and closes also where the run fails. */
async function withCheckpoints<T>(run: (checkpoints: Checkpoints) => Promise<T>, retention?: Retention): Promise<T> {
  const checkpoints = await openCheckpoints(folder, retention);
  try {
    return await run(checkpoints);
  } finally {
    await checkpoints.close();
  }
}

const filled = (value: number): Record<string, Variable> =>
  tidy(() => ({ 'a.weight': variable(tensor([value, value], [1, 2])), 'b.bias': variable(tensor([value])) }));

const stateOf = (step: number, more: Partial<TrainingState> = {}): TrainingState => ({
  step,
  parts: { parameters: filled(step) },
  recipe,
  ...more,
});

const save = (step: number, more: Partial<TrainingState> = {}) =>
  withCheckpoints((each) => each.save(stateOf(step, more)));

/** The number that all variables were filled with, taken up anew. */
async function resumedValue(): Promise<number | undefined> {
  const parameters = filled(-1);
  const resumed = await withCheckpoints((each) => each.resume({ parameters }, { recipe }));
  const numbers = new Set(
    (await Promise.all(Object.values(parameters).map((each) => each.data()))).flatMap((each) => [...each]),
  );
  dispose(parameters);
  expect(numbers.size).toBe(1);
  return resumed === undefined ? undefined : [...numbers][0];
}

describeOnBackends('checkpoints', () => {
  it('give back every bit of parameters, optimiser and average, numbers and values', () =>
    expectNoLeaks(async () => {
      const bits = new Float32Array(
        new Uint32Array([0x80000000, 0x00000001, 0x7f800000, 0x7fc01234, 0x3f800001]).buffer,
      );
      const make = (values: Float32Array) => {
        const parameters = tidy(() => ({ x: variable(tensor(values)), y: variable(tensor([[1.1], [2.2]])) }));
        const optimizer = adamW(parameterGroups(parameters));
        return { parameters, optimizer, average: exponentialAverage(parameters, { decay: 0.9 }) };
      };
      const first = make(bits);
      const gradients = tidy(() => ({ x: zeros([5]), y: tensor([[1 / 3], [-1e-20]]) }));
      first.optimizer.step(gradients, { learningRate: 0.1 });
      first.average.update();
      const values = { random: [1, 2, 3], sampler: { position: 7 } };
      await withCheckpoints((each) => each.save({ step: 7, parts: first, values, recipe, metrics: { miou: 0.5 } }));
      const second = make(new Float32Array(5));
      const resumed = await withCheckpoints((each) => each.resume(second, { recipe, values: ['sampler', 'random'] }));
      expect(resumed).toEqual({ path: path('step-00000007'), step: 7, values, metrics: { miou: 0.5 }, broken: [] });
      expect(second.optimizer.numbers).toEqual({ steps: 1 });
      expect(second.average.numbers).toEqual({ updates: 1 });
      const bytesOf = async ({ parameters, optimizer, average }: ReturnType<typeof make>) => {
        const all: Record<string, Variable> = Object.assign({ ...parameters }, optimizer.tensors, {
          averageOfX: average.tensors.x,
          averageOfY: average.tensors.y,
        });
        const read = Object.entries(all).map(async ([key, each]) => [
          key,
          new Uint32Array((await each.data()).slice().buffer),
        ]);
        return Object.fromEntries(await Promise.all(read));
      };
      expect(await bytesOf(second)).toEqual(await bytesOf(first));
      for (const { parameters, optimizer, average } of [first, second]) {
        optimizer.dispose();
        average.dispose();
        dispose(parameters);
      }
      dispose(gradients);
    }));

  it('are of the moment of the call, though training goes on', () =>
    expectNoLeaks(async () => {
      const parameters = filled(5);
      await withCheckpoints(async (each) => {
        const saving = each.save({ step: 5, parts: { parameters }, recipe });
        tidy(() => parameters['b.bias'].assign(tensor([6])));
        await saving;
      });
      dispose(parameters);
      expect(await resumedValue()).toBe(5);
    }));
});

describeOnBackends('a folder of checkpoints', () => {
  it('is empty at first', async () => expect(await resumedValue()).toBeUndefined());

  it('keeps the newest and the best, and removes the others when the new one is there', async () => {
    const scores: [number, number, number][] = [
      [1, 0.5, 9],
      [2, 0.9, 8],
      [3, 0.9, 7],
      [4, Number.NaN, 1],
      [5, 0.1, 7],
      [6, 0.2, 7],
    ];
    const keepBest = [
      { metric: 'miou', mode: 'max' },
      { metric: 'loss', mode: 'min', keep: 2 },
    ] as const;
    await withCheckpoints(
      async (each) => {
        for (const [step, miou, loss] of scores) await each.save(stateOf(step, { metrics: { miou, loss } }));
      },
      { keepLast: 1, keepBest },
    );
    const { saved } = await listCheckpoints(folder);
    // 3 is the newest of the best by miou; 4 and the newest with a loss of 7 are the best by it.
    expect(saved.map(({ step }) => step)).toEqual([6, 4, 3]);
    expect(saved[1].metrics).toEqual({ miou: null, loss: 1 });
    expect(readdirSync(folder).sort()).toEqual(['step-00000003', 'step-00000004', 'step-00000006']);
    expect(readdirSync(path('step-00000003')).sort()).toEqual(['parameters.safetensors', 'state.json']);
  });

  it('replaces a checkpoint of the same step', async () => {
    await save(3);
    await withCheckpoints((each) => each.save({ ...stateOf(3), parts: { parameters: filled(30) } }));
    expect(await resumedValue()).toBe(30);
    expect(readdirSync(folder)).toEqual(['step-00000003']);
  });

  it('refuses to write before a newer one', async () => {
    await save(8);
    await expect(save(5)).rejects.toThrow(
      `checkpoints: in ${folder} a new checkpoint is the newest; got step 5 beside step-00000008; resume from the newest, or ` +
        'move the newer ones away',
    );
  });

  it('gives one part alone', async () => {
    await save(4);
    const { latest } = await latestCheckpoint(folder);
    const parameters = filled(0);
    await restorePart(latest!, 'parameters', parameters);
    expect([...(await parameters['b.bias'].data())]).toEqual([4]);
    await expect(restorePart(latest!, 'average', parameters)).rejects.toThrow(
      'restore from step-00000004: it has the part; got "average"; it has parameters',
    );
    appendFileSync(path('step-00000004', 'parameters.safetensors'), '!');
    await expect(restorePart(latest!, 'parameters', parameters)).rejects.toThrow(
      'restore from step-00000004: parameters.safetensors is as it was written; its SHA-256 is another; take another',
    );
  });

  it('takes optimisers without tensors', async () => {
    const parameters = filled(1);
    const optimizer = sgd(parameterGroups(parameters));
    await withCheckpoints((each) => each.save({ step: 1, parts: { parameters, optimizer }, recipe }));
    optimizer.restoreNumbers({ steps: 9 });
    await withCheckpoints((each) => each.resume({ parameters, optimizer }, { recipe }));
    expect(optimizer.numbers).toEqual({ steps: 0 });
  });

  it('has leftovers of killed runs cleared away, and brings back what was moved aside', async () => {
    await save(1);
    await save(2);
    renameSync(path('step-00000002'), path('.step-00000002.01234567.old'));
    for (const name of ['.step-00000003.01234567.tmp', '.step-00000001.89abcdef.old', '.step-00000004.89abcdef.gone']) {
      await save(9).catch(() => {});
      renameSync(path('step-00000009'), path(name));
      // The save has brought it back.
      if (readdirSync(folder).includes('step-00000002'))
        renameSync(path('step-00000002'), path('.step-00000002.01234567.old'));
    }
    writeFileSync(path('notes.txt'), 'not ours');
    const swept = await withCheckpoints(async (each) => each.swept);
    expect([...swept].sort()).toEqual(['.step-00000002.01234567.old', '.step-00000004.89abcdef.gone']);
    expect(readdirSync(folder).sort()).toEqual(['notes.txt', 'step-00000001', 'step-00000002']);
    expect(await resumedValue()).toBe(2);
  });

  describe('that was damaged', () => {
    const weights = (step: string) => path(step, 'parameters.safetensors');
    const damages: [string, (step: string) => void, string][] = [
      ['a truncated file', (step) => truncateSync(weights(step), 100), 'parameters.safetensors has 100 bytes; '],
      ['a missing file', (step) => rmSync(weights(step)), 'parameters.safetensors is missing'],
      [
        'a flipped bit',
        (step) => {
          const bytes = readFileSync(weights(step));
          bytes[bytes.length - 2] ^= 1;
          writeFileSync(weights(step), bytes);
        },
        'parameters.safetensors is not as it was written: its SHA-256 is another',
      ],
      ['no state.json', (step) => rmSync(path(step, 'state.json')), 'state.json is missing'],
      [
        'a changed state.json',
        (step) => {
          const text = readFileSync(path(step, 'state.json'), 'utf8');
          writeFileSync(path(step, 'state.json'), text.replace('0.1', '0.2'));
        },
        'state.json is not as it was written',
      ],
      [
        'a torn state.json',
        (step) => truncateSync(path(step, 'state.json'), 50),
        'state.json is not as it was written',
      ],
      [
        'the folder of another step',
        (step) => {
          rmSync(path(step), { recursive: true });
          renameSync(path('step-00000001'), path(step));
        },
        'state.json is that of step 1',
      ],
    ];

    it.each(damages)('goes on from the newest that is whole: %s', async (_, damage, reason) => {
      for (const step of [1, 2, 3]) await save(step);
      damage('step-00000003');
      const parameters = filled(0);
      await withCheckpoints(async (each) => {
        const resumed = await each.resume({ parameters }, { recipe });
        expect(resumed?.step).toBe(2);
        expect(resumed?.broken).toEqual([
          { path: path('step-00000003'), step: 3, reason: expect.stringContaining(reason) },
        ]);
        // Set aside, so that the run may come by there again.
        expect(readdirSync(folder).filter((name) => name.startsWith('broken-step-00000003-')).length).toBe(1);
        await each.save(stateOf(3));
      });
      expect(await resumedValue()).toBe(3);
    });

    it('is an error where nothing is whole', async () => {
      await save(1);
      rmSync(weights('step-00000001'));
      await expect(resumedValue()).rejects.toThrow(
        `resume: ${folder} has a whole checkpoint; all are broken: step-00000001: parameters.safetensors is missing; begin ` +
          'anew in another folder',
      );
    });
  });

  describe('errors of resuming', () => {
    const resume = (parts: Record<string, Record<string, Variable>>, more = {}) =>
      withCheckpoints((each) => each.resume(parts, { recipe, ...more }));

    it('name the part, the tensor, the shape', async () => {
      await save(2);
      const where = 'resume from step-00000002: ';
      await expect(resume({})).rejects.toThrow(
        `${where}each saved part is taken up again; got "parameters", which this run has not; give it too`,
      );
      await expect(resume({ parameters: filled(0), average: filled(0) })).rejects.toThrow(
        `${where}it has each part of this run; got none for "average"; it has parameters`,
      );
      const { 'b.bias': bias, ...rest } = filled(0) as { 'a.weight': Variable; 'b.bias': Variable };
      await expect(resume({ parameters: rest })).rejects.toThrow(
        `${where}each saved tensor of "parameters" is taken up again; got "b.bias", which this run has not`,
      );
      await expect(resume({ parameters: { ...rest, 'b.bais': bias, 'b.bias': bias } })).rejects.toThrow(
        `${where}"parameters" has each tensor of this run; got none for "b.bais"; closest: b.bias`,
      );
      const other = { ...rest, 'b.bias': variable(zeros([3])) };
      await expect(resume({ parameters: other })).rejects.toThrow(
        `${where}tensors of "parameters" have their saved shape; got [3] for [1] of "b.bias"; build the model as then`,
      );
      expect([...(await other['a.weight'].data())], 'nothing was assigned').toEqual([0, 0]);
    });

    it('name the fields of the recipe', async () => {
      await save(2);
      const parameters = filled(0);
      const now = { model: 'tiny', schedule: { rate: 0.2, steps: 30, power: 0.9 }, seeds: [1, 3], log: undefined };
      await expect(resume({ parameters }, { recipe: now, mayDiffer: ['schedule.steps'] })).rejects.toThrow(
        'resume from step-00000002: a run goes on by the recipe that it began with; schedule.rate was 0.1 and is 0.2; ' +
          'schedule.power was nothing and is 0.9; seeds.1 was 2 and is 3; change it back, or begin another run in another folder',
      );
      const resumed = await resume({ parameters }, { recipe: now, mayDiffer: ['schedule', 'seeds.1'] });
      expect(resumed?.step).toBe(2);
    });

    it('name the values', async () => {
      await save(2, { values: { sampler: 1 } });
      await expect(resume({ parameters: filled(0) })).rejects.toThrow(
        'each saved value is taken up again; got "sampler", which this run has not; give it too',
      );
      await expect(resume({ parameters: filled(0) }, { values: ['sampler', 'random'] })).rejects.toThrow(
        'it has each value of this run; got none for "random"; it has sampler',
      );
    });
  });

  it('says what cannot be saved', async () => {
    await expect(save(1.5)).rejects.toThrow(
      'checkpoint: a step is a whole number from 0; got 1.5; count the updates done',
    );
    await expect(save(1, { values: { a: [0, { b: Number.NaN }] } })).rejects.toThrow(
      'checkpoint: what is saved is plain JSON; got NaN for "values.a.1.b"; make it numbers, texts, lists, objects',
    );
    await expect(save(1, { recipe: { a: new Uint8Array(2) as never } })).rejects.toThrow(
      'got Uint8Array for "recipe.a"',
    );
    await expect(save(1, { metrics: { miou: 'good' as never } })).rejects.toThrow(
      'checkpoint: metrics are numbers; got string for "miou"; leave it out',
    );
    await expect(save(1, { parts: { '../x': filled(1) } })).rejects.toThrow(
      'checkpoint: a part\'s name is letters, digits, - and _; got "../x"; it names a file',
    );
    await expect(save(1, { parts: { p: { x: variable(scalar(1, 'int32')) } } })).rejects.toThrow(
      'checkpoint: tensors are float32; got int32 for "x" of "p"; save it among the values',
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('has one writer', () =>
    withCheckpoints(async () => {
      await expect(openCheckpoints(folder)).rejects.toThrow(
        `checkpoints: one process at a time trains into ${folder}; got process ${process.pid} on `,
      );
    }));

  it('does one thing at a time', async () => {
    await withCheckpoints(async (each) => {
      const saving = each.save(stateOf(1));
      await expect(each.save(stateOf(2))).rejects.toThrow(
        'checkpoints: save begins when save is over; it is not; await it first',
      );
      await saving;
    });
  });

  it('says what cannot be kept', async () => {
    await expect(openCheckpoints(folder, { keepLast: 0 })).rejects.toThrow(
      'checkpoints: a number of checkpoints to keep is whole and at least 1; got 0; correct it',
    );
    await expect(openCheckpoints(folder, { keepBest: [{ metric: 'miou', mode: 'max' }] })).rejects.toThrow(
      'checkpoints: keepBest goes with keepLast; got it alone, where all stay; say how many of the newest do',
    );
  });
}, ['cpu']);
