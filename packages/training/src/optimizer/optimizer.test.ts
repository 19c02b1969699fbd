import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden, randomValues } from '@rass/testkit';
import {
  dispose,
  memory,
  reshape,
  scalar,
  slice,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { polynomialSchedule } from '../schedule/schedule.ts';
import { adamW } from './adamw.ts';
import { gradientNorm } from './gradient-norm.ts';
import type { Optimizer } from './optimizer.ts';
import { type ParameterGroup, parameterGroups } from './parameter-groups.ts';
import { sgd } from './sgd.ts';

/** Ours for PyTorch's names of the state. */
const SLOTS: Record<string, string> = { exp_avg: 'm', exp_avg_sq: 'v', momentum_buffer: 'momentum' };

function variablesOf(golden: Golden): Record<string, Variable> {
  const named = golden.names('w/').map((key) => {
    const start = golden.tensor(`w/${key}`);
    const value = variable(start);
    start.dispose();
    return [key, value] as const;
  });
  return Object.fromEntries(named);
}

/** One step of a tensor that holds all steps. */
const at = (all: Tensor, step: number): Tensor => tidy(() => reshape(slice(all, [step], [1]), all.shape.slice(1)));

async function expectAsTorch(golden: Golden, make: (groups: ParameterGroup[]) => Optimizer): Promise<void> {
  const { steps, rate, decay, clip, power, scheduleSteps } = golden.config;
  const variables = variablesOf(golden);
  const optimizer = make(
    parameterGroups(
      variables,
      [
        { match: 'bias', weightDecay: 0 },
        { match: 'backbone', learningRateFactor: 0.1 },
      ],
      { weightDecay: decay },
    ),
  );
  const schedule = polynomialSchedule({ rate, steps: scheduleSteps, power });
  const norms = golden.raw('out/norms').values;
  const all = Object.fromEntries(Object.keys(variables).map((key) => [key, golden.tensor(`in/${key}`)]));
  const expected = Object.fromEntries(Object.keys(variables).map((key) => [key, golden.tensor(`out/${key}`)]));
  for (let step = 0; step < steps; step++) {
    const gradients = Object.fromEntries(Object.entries(all).map(([key, each]) => [key, at(each, step)]));
    const { norm, scale } = await gradientNorm(gradients, { clip });
    await expectClose([norm], [norms[step]], { relative: 1e-6, label: `norm ${step}` });
    optimizer.step(gradients, { learningRate: schedule(step), gradientScale: scale });
    for (const [key, value] of Object.entries(variables)) {
      const there = at(expected[key], step);
      await expectClose(value, there, { relative: 1e-6, label: `${key} after step ${step}` });
      there.dispose();
    }
    dispose(gradients);
  }
  for (const name of golden.names('state/')) {
    const [slot, ...key] = name.split('/');
    const there = golden.tensor(`state/${name}`);
    await expectClose(optimizer.tensors[`${SLOTS[slot]}/${key.join('/')}`], there, { relative: 2e-6, label: name });
    there.dispose();
  }
  expect(Object.keys(optimizer.tensors).length).toBe(golden.names('state/').length);
  expect(optimizer.numbers).toEqual({ steps });
  optimizer.dispose();
  dispose([all, expected, variables]);
}

describeOnBackends('optimisers as in PyTorch: groups, clipping, schedule', () => {
  it('adamW', () =>
    expectNoLeaks(() => {
      const golden = loadGolden('training/adamw');
      const { betas, eps: epsilon } = golden.config;
      return expectAsTorch(golden, (groups) => adamW(groups, { betas, epsilon }));
    }));

  it.each(['sgd', 'sgd-nesterov'])('%s', (name) =>
    expectNoLeaks(() => {
      const golden = loadGolden(`training/${name}`);
      const { momentum, nesterov } = golden.config;
      return expectAsTorch(golden, (groups) => sgd(groups, { momentum, nesterov }));
    }),
  );

  it('holds as many tensors after 200 steps as before them', async () => {
    const variables = tidy(() => ({
      a: variable(tensor(randomValues(6), [2, 3])),
      b: variable(tensor(randomValues(4, { seed: 2 }))),
    }));
    for (const optimizer of [adamW(parameterGroups(variables)), sgd(parameterGroups(variables), { momentum: 0.9 })]) {
      const gradients = { a: tensor(randomValues(6, { seed: 3 }), [2, 3]), b: tensor(randomValues(4, { seed: 4 })) };
      const before = memory();
      for (let step = 0; step < 200; step++) {
        const { scale } = await gradientNorm(gradients, { clip: 0.5 });
        optimizer.step(gradients, { learningRate: 0.01, gradientScale: scale });
      }
      expect(memory().numTensors).toBe(before.numTensors);
      expect(memory().numBytes).toBe(before.numBytes);
      optimizer.dispose();
      dispose(gradients);
    }
    dispose(variables);
  });
});

describeOnBackends('optimisers', () => {
  it('worked out by hand: the first step of AdamW moves by the learning rate', async () => {
    const variables = { x: variable(tensor([2, -4])) };
    const optimizer = adamW(parameterGroups(variables, [], { weightDecay: 0.5 }), { epsilon: 0 });
    optimizer.step({ x: tensor([0.3, -7]) }, { learningRate: 0.1 });
    // 2 (1 - 0.1 * 0.5) - 0.1, and -4 (1 - 0.1 * 0.5) + 0.1
    await expectClose(variables.x, tensor([1.8, -3.7]), { relative: 1e-6 });
  });

  it('worked out by hand: plain descent', async () => {
    const variables = { x: variable(tensor([2, -4])) };
    const optimizer = sgd(parameterGroups(variables, [], { weightDecay: 0.5 }));
    optimizer.step({ x: tensor([0.3, -7]) }, { learningRate: 0.1, gradientScale: 2 });
    await expectClose(variables.x, tensor([2 - 0.1 * (0.6 + 1), -4 - 0.1 * (-14 - 2)]), { relative: 1e-6 });
    expect(optimizer.tensors).toEqual({});
  });

  describe('errors', () => {
    const groups = () => parameterGroups({ 'a.weight': variable(zeros([2])), 'b.weight': variable(zeros([3])) });
    const both = () => ({ 'a.weight': zeros([2]), 'b.weight': zeros([3]) });

    it('of gradients', () => {
      const optimizer = adamW(groups());
      const step = (gradients: Record<string, Tensor>) => () => optimizer.step(gradients, { learningRate: 1 });
      expect(step({ 'a.weight': zeros([2]) })).toThrow(
        'adamW: each variable has a gradient; got none for "b.weight"; leave what is not trained out of the groups',
      );
      expect(step({ ...both(), 'a.wieght': scalar(1) })).toThrow(
        'adamW: each gradient has a variable; got one for "a.wieght"; closest: a.weight; put it into a group',
      );
      expect(step({ ...both(), 'a.weight': zeros([1, 2]) })).toThrow(
        'adamW: a gradient is like its variable, float32 [2]; got float32 [1,2] for "a.weight"; take it by this variable',
      );
      expect(optimizer.numbers, 'a refused step does not count').toEqual({ steps: 0 });
    });

    it('of numbers', () => {
      const optimizer = sgd(groups());
      expect(() => optimizer.step(both(), { learningRate: Number.NaN })).toThrow(
        'sgd: a learning rate is a number of at least 0; got NaN; see to the schedule',
      );
      expect(() => optimizer.step(both(), { learningRate: 1, gradientScale: Number.NaN })).toThrow(
        'sgd: the scale of gradients is a number; got NaN; leave such a step out',
      );
      expect(() => adamW(groups(), { betas: [0.9, 1] })).toThrow(
        'adamW: betas are two numbers of at least 0 and less than 1; got 0.9, 1; see its defaults',
      );
      expect(() => adamW(groups(), { epsilon: -1 })).toThrow('adamW: epsilon is at least 0; got -1; 1e-8 is usual');
      expect(() => sgd(groups(), { momentum: 1 })).toThrow(
        'sgd: momentum is at least 0 and less than 1; got 1; 0.9 is usual',
      );
      expect(() => sgd(groups(), { nesterov: true })).toThrow(
        'sgd: nesterov needs momentum; got 0; give one, such as 0.9',
      );
      expect(() => optimizer.restoreNumbers({ steps: 1.5 })).toThrow(
        'sgd: its saved numbers are { steps: <a count> }; got {"steps":1.5}; save it anew',
      );
      expect(() => optimizer.restoreNumbers({ steps: 1, more: 2 })).toThrow('got {"steps":1,"more":2}');
    });
  });
}, ['cpu']);
