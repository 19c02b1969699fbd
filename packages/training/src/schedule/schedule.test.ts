import { expectClose, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  multiStepSchedule,
  polynomialSchedule,
  type Schedule,
  sequentialSchedule,
  warmUpPolynomialSchedule,
  withWarmUp,
} from './schedule.ts';

const golden = loadGolden('training/schedules');
const { rate } = golden.config;

const schedules: Record<string, Schedule> = {
  polynomial: polynomialSchedule({ rate, steps: 30 }),
  cosine: cosineSchedule({ rate, steps: 39, end: 0.01 }),
  'multi-step': multiStepSchedule({ rate, milestones: [5, 6, 20], gamma: 0.5 }),
  linear: linearSchedule({ rate, steps: 12, from: 0.1, to: 0.8 }),
  sequential: sequentialSchedule([
    { schedule: linearSchedule({ rate, steps: 8, from: 0.01 }), steps: 8 },
    { schedule: cosineSchedule({ rate, steps: 40 }) },
  ]),
  'warmup-poly': warmUpPolynomialSchedule({ rate, steps: 40, warmUp: { steps: 10 } }),
  'warmup-poly-constant': warmUpPolynomialSchedule({
    rate,
    steps: 40,
    warmUp: { steps: 6, factor: 0.25, method: 'constant' },
  }),
  'warmup-poly-ending': warmUpPolynomialSchedule({ rate, steps: 40, warmUp: { steps: 10 }, constantEnding: 0.3 }),
};

describe('schedules', () => {
  it('are all in the fixture', () => expect(golden.names('out/').sort()).toEqual(Object.keys(schedules).sort()));

  it.each(Object.keys(schedules))('%s, as in PyTorch and detectron2', async (name) => {
    const expected = golden.raw(`out/${name}`).values;
    // Each by itself: the smallest rate is as right as the largest.
    for (let step = 0; step < expected.length; step++) {
      await expectClose([schedules[name](step)], [expected[step]], { relative: 1e-6, label: `${name} at ${step}` });
    }
  });

  it('stay at their ends', () => {
    expect(polynomialSchedule({ rate: 1, steps: 10 })(25)).toBe(0);
    expect(cosineSchedule({ rate: 1, steps: 10, end: 0.1 })(25)).toBeCloseTo(0.1, 12);
    expect(linearSchedule({ rate: 2, steps: 10, to: 0.5 })(25)).toBe(1);
    expect(constantSchedule(0.3)(1e6)).toBe(0.3);
  });

  it('are warmed up while their own steps go on', () => {
    const schedule = withWarmUp(multiStepSchedule({ rate: 1, milestones: [2] }), { steps: 4, factor: 0 });
    expect([0, 1, 2, 3, 4, 5].map(schedule)).toEqual([0, 0.25, 0.05, expect.closeTo(0.075, 12), 0.1, 0.1]);
    expect(withWarmUp(constantSchedule(1), { steps: 0 })(0)).toBe(1);
  });

  it('say what is wrong', () => {
    expect(() => constantSchedule(-1)).toThrow('constantSchedule: rate is a number of at least 0; got -1; correct it');
    expect(() => polynomialSchedule({ rate: 1, steps: 0 })).toThrow(
      'polynomialSchedule: steps are a whole number of at least 1; got 0; correct it',
    );
    expect(() => warmUpPolynomialSchedule({ rate: 1, steps: 10, warmUp: { steps: 2.5 } })).toThrow(
      'warmUpPolynomialSchedule: warm-up: steps are a whole number of at least 1; got 2.5; correct it',
    );
    expect(() => multiStepSchedule({ rate: 1, milestones: [5, 5] })).toThrow(
      'multiStepSchedule: milestones are whole numbers that grow; got 5, 5; sort them',
    );
    expect(() => sequentialSchedule([])).toThrow('sequentialSchedule: there is a part; got none; give a schedule');
    const schedule = constantSchedule(1);
    expect(() => sequentialSchedule([{ schedule }, { schedule }])).toThrow(
      'sequentialSchedule: steps are a whole number of at least 1; got 0; correct it',
    );
    expect(() => sequentialSchedule([{ schedule, steps: 3 }])).toThrow(
      'sequentialSchedule: the last part has no end; got steps; leave them out, or add a part',
    );
    expect(() => schedule(-1)).toThrow(
      'constantSchedule: a step is a whole number from 0; got -1; count the updates done',
    );
    expect(() => schedule(0.5)).toThrow('got 0.5');
  });
});
