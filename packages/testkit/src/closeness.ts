import type { Tensor } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

type Values = ArrayLike<number>;

export interface ClosenessOptions {
  /** Largest allowed difference as a share of the largest expected magnitude. */
  relative?: number;
  /** Named in the failure. */
  label?: string;
}

const isTensor = (value: Tensor | Values): value is Tensor => 'dataId' in value;

function position(index: number, shape: readonly number[]): string {
  const at: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return `[${at.join(', ')}]`;
}

/** Asserts |actual - expected| <= relative * max|expected| everywhere, and equal shapes where both are tensors.
 * A failure prints the largest and the mean difference and where the largest is. Default tolerance 1e-4. */
export async function expectClose(
  actual: Tensor | Values,
  expected: Tensor | Values,
  options: ClosenessOptions = {},
): Promise<void> {
  const { relative = 1e-4, label = 'values' } = options;
  const shape = isTensor(actual) ? actual.shape : [actual.length];
  if (isTensor(actual) && isTensor(expected)) expect(actual.shape, `${label}: shape`).toEqual(expected.shape);
  const a: Values = isTensor(actual) ? await actual.data() : actual;
  const e: Values = isTensor(expected) ? await expected.data() : expected;
  expect(a.length, `${label}: number of values`).toBe(e.length);
  let scale = 0;
  for (let i = 0; i < e.length; i++) scale = Math.max(scale, Math.abs(e[i]));
  let largest = 0;
  let at = 0;
  let sum = 0;
  for (let i = 0; i < e.length; i++) {
    // Equal infinities differ by NaN, yet agree; a NaN on either side must not pass.
    const difference = Object.is(a[i], e[i]) ? 0 : Math.abs(a[i] - e[i]);
    if (!(difference <= largest)) {
      largest = difference;
      at = i;
    }
    sum += difference;
    if (Number.isNaN(difference)) break;
  }
  const bound = relative * Math.max(scale, 1e-12);
  if (!(largest <= bound)) {
    expect.fail(
      `${label}: largest difference ${largest.toExponential(3)} at ${position(at, shape)} (got ${a[at]}, expected ${e[at]}), ` +
        `mean ${(sum / Math.max(1, e.length)).toExponential(3)}; allowed ${bound.toExponential(3)} = ${relative} x ${scale.toPrecision(4)}`,
    );
  }
}

/** expectClose over every name of `expected`; a name that `actual` lacks fails. */
export async function expectTensorsClose(
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
  options: ClosenessOptions = {},
): Promise<void> {
  const names = Object.keys(expected);
  expect(names.length, 'number of expected tensors').toBeGreaterThan(0);
  for (const name of names) {
    if (actual[name] === undefined) expect.fail(`${name}: missing; got ${Object.keys(actual).join(', ')}`);
    await expectClose(actual[name], expected[name], {
      ...options,
      label: options.label ? `${options.label} ${name}` : name,
    });
  }
}
