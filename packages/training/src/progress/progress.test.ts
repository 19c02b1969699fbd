import { expect, it } from 'vitest';
import { progressLine } from './progress-line.ts';
import { measureRate, type StepRate, stepsPerSecond } from './step-rate.ts';

it('is one line', () => {
  const rate = { step: 1200, at: 0, steps: 10, seconds: 4 };
  expect(
    progressLine({
      step: 1200,
      steps: 80_000,
      rate,
      learningRate: 9.87654321e-5,
      terms: { loss: 0.53217, dice: Number.NaN },
      memory: { process: 3.1234e9, tensors: 812, tensorBytes: 456_000 },
    }),
  ).toBe(
    'step 1200/80000 (1.5 %)  2.50 steps/s  ETA 8 h 45 min  lr 0.00009877  loss 0.5322  dice NaN  process 3.12 GB  812 tensors 456 kB',
  );
  expect(progressLine({ step: 0, steps: 10 })).toBe('step 0/10 (0.0 %)');
  expect(progressLine({ step: 1, steps: 0, memory: { tensors: 1, tensorBytes: 0 } })).toBe('step 1/0  1 tensors 0 B');
});

it.each([
  [0, '0 s'],
  [59, '59 s'],
  [61, '1 min 1 s'],
  [3600, '1 h'],
  [90_000, '1 d 1 h'],
  [900_000, '10 d 10 h'],
])('%d seconds left are %s', (left, text) => {
  const rate = { step: 0, at: 0, steps: 1, seconds: 1 };
  expect(progressLine({ step: 0, steps: left, rate })).toContain(`ETA ${text}`);
});

it('slow steps are told in seconds', () => {
  const rate = { step: 1, at: 0, steps: 1, seconds: 12.345 };
  expect(progressLine({ step: 1, steps: 2, rate })).toBe('step 1/2 (50.0 %)  12.3 s/step  ETA 12 s');
});

it('the rate follows the latest steps, smoothly', () => {
  let rate: StepRate | undefined;
  let at = 0;
  expect(stepsPerSecond(rate)).toBeUndefined();
  for (let step = 0; step <= 200; step++) {
    rate = measureRate(rate, { step, at });
    if (step === 0) expect(stepsPerSecond(rate)).toBeUndefined();
    if (step === 1) expect(stepsPerSecond(rate)).toBe(2);
    at += 0.5;
  }
  expect(stepsPerSecond(rate)).toBeCloseTo(2, 10);
  // One slow step moves it a little, many of them bring it there.
  const once = measureRate(rate, { step: 201, at: (rate?.at ?? 0) + 5 });
  expect(stepsPerSecond(once)).toBeCloseTo(1 / (0.95 * 0.5 + 0.05 * 5), 3);
  let slow = once;
  for (let i = 1; i <= 200; i++) slow = measureRate(slow, { step: 201 + i, at: once.at + 5 * i });
  expect(stepsPerSecond(slow)).toBeCloseTo(0.2, 3);
});

it('measures of several steps weigh as much, and a step back begins anew', () => {
  const one = [
    [0, 0],
    [10, 10],
    [20, 30],
  ].reduce<StepRate | undefined>((before, [step, at]) => measureRate(before, { step, at }), undefined);
  expect(stepsPerSecond(one)).toBeCloseTo((10 * 0.95 ** 10 + 10) / (10 * 0.95 ** 10 + 20), 10);
  expect(stepsPerSecond(measureRate(one, { step: 5, at: 40 }))).toBeUndefined();
});
