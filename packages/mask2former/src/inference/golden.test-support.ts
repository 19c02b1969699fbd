import { type Golden, loadGolden } from '@rass/testkit';
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import type { Prediction } from '../outputs.ts';
import type { SegmentInfo } from './segmentation.ts';

export function loadCase(name: string): { golden: Golden; outputs: () => Prediction } {
  const golden = loadGolden(`mask2former/${name}`);
  const outputs = (): Prediction => ({
    classQueriesLogits: golden.tensor('in/class_queries_logits') as Tensor3D,
    masksQueriesLogits: golden.tensor('in/masks_queries_logits') as Tensor4D,
  });
  return { golden, outputs };
}

/** A map that is kept as runs, row by row. */
export function mapOf(golden: Golden, name: string): Int32Array {
  const [values, counts] = [golden.raw(`out/${name}.values`).values, golden.raw(`out/${name}.counts`).values];
  const map = new Int32Array([...counts].reduce((a, b) => a + b, 0));
  let at = 0;
  counts.forEach((count, i) => {
    map.fill(values[i], at, at + count);
    at += count;
  });
  return map;
}

/** Equal everywhere; a failure says how many pixels differ, and not all of them. */
export function expectSameMap(actual: ArrayLike<number>, expected: ArrayLike<number>, label: string): void {
  expect(actual.length, `${label}: pixels`).toBe(expected.length);
  let [different, first] = [0, -1];
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue;
    if (different++ === 0) first = i;
  }
  if (different === 0) return;
  expect.fail(
    `${label}: ${different} of ${expected.length} pixels differ, first at ${first}: got ${actual[first]}, expected ${expected[first]}`,
  );
}

interface PythonInfo {
  readonly id: number;
  readonly label_id: number;
  readonly was_fused: boolean;
  readonly score: number;
}

/** Equal but for the last digit of a score, which rounding may change. */
export function expectSegments(actual: readonly SegmentInfo[], expected: readonly PythonInfo[], label: string): void {
  const plain = expected.map(({ id, label_id, was_fused }) => ({ id, labelId: label_id, wasFused: was_fused }));
  expect(
    actual.map(({ id, labelId, wasFused }) => ({ id, labelId, wasFused })),
    label,
  ).toEqual(plain);
  actual.forEach(({ score }, i) => {
    expect(Math.abs(score - expected[i].score), `${label}: score ${i}`).toBeLessThan(2.5e-6);
  });
}
