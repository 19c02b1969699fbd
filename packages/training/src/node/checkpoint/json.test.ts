import { expect, it } from 'vitest';
import { differences } from './json.ts';

it('finds the smallest fields that differ', () => {
  const saved = { a: 1, b: { c: [1, 2], d: null }, e: 'x', f: { g: 1 } };
  expect(differences(saved, { ...saved, b: { d: null, c: [1, 2] } })).toEqual([]);
  expect(differences(saved, { a: 1, b: { c: [1, 3, 4], d: {} }, e: 'x', f: [1] })).toEqual([
    { field: 'b.c.1', saved: 2, now: 3 },
    { field: 'b.c.2', saved: undefined, now: 4 },
    { field: 'b.d', saved: null, now: {} },
    { field: 'f', saved: { g: 1 }, now: [1] },
  ]);
});
