import { expect, it } from 'vitest';
import { closest } from './closest.ts';

it('finds the most similar names, the earlier of equals first', () => {
  const names = ['to_q', 'to_k', 'to_v', 'proj_in'];
  expect(closest('to_qq', names, 2)).toEqual(['to_q', 'to_k']);
  expect(closest('proj_out', names)).toEqual(['proj_in']);
  expect(closest('x', [])).toEqual([]);
});
