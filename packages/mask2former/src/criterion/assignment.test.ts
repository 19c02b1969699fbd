import { loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { type Assignment, linearSumAssignment } from './assignment.ts';

const golden = loadGolden('mask2former/assignment');
const total = (costs: ArrayLike<number>, columns: number, found: Assignment): number =>
  found.rows.reduce((sum, row, i) => sum + costs[row * columns + found.columns[i]], 0);

describe('linearSumAssignment', () => {
  it.each(golden.config.names as string[])('is as good as scipy: %s', (name) => {
    const { shape, values } = golden.raw(`in/${name}`);
    const found = linearSumAssignment(values, shape[0], shape[1]);
    const expected = {
      rows: golden.raw(`out/${name}.rows`).values as Int32Array,
      columns: golden.raw(`out/${name}.columns`).values as Int32Array,
    };
    expect(total(values, shape[1], found)).toBe(total(values, shape[1], expected));
    // Equals are settled alike, too.
    expect(Array.from(found.rows)).toEqual(Array.from(expected.rows));
    expect(Array.from(found.columns)).toEqual(Array.from(expected.columns));
  });

  it('finds the best of all permutations', () => {
    const costs = [4, 1, 3, 2, 0, 5, 3, 2, 2];
    const permutations = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    const best = Math.min(...permutations.map((p) => p.reduce((sum, column, row) => sum + costs[row * 3 + column], 0)));
    expect(total(costs, 3, linearSumAssignment(costs, 3, 3))).toBe(best);
  });

  it('takes no rows or no columns', () => {
    expect(linearSumAssignment([], 0, 3).rows.length).toBe(0);
    expect(linearSumAssignment([], 3, 0).columns.length).toBe(0);
  });

  it.each([
    [[1, 2, 3], 2, 2, 'linearSumAssignment: costs are rows times columns, 2 x 2; got 3 numbers; give each pair one'],
    [
      [1, 2, 3, Number.NaN],
      2,
      2,
      'linearSumAssignment: costs are numbers or +Infinity; got NaN at row 1, column 1; find out where it comes from',
    ],
    [
      [1, Number.NEGATIVE_INFINITY],
      1,
      2,
      'linearSumAssignment: costs are numbers or +Infinity; got -Infinity at row 0, column 1; find out where it comes from',
    ],
    [
      [Infinity, Infinity, 1, 2],
      2,
      2,
      'linearSumAssignment: every row has a column that it may take; row 0 is left with costs of Infinity alone; allow it a pair',
    ],
    [
      [1, Infinity, 3, Infinity, 2, Infinity],
      3,
      2,
      'linearSumAssignment: every column has a row that it may take; column 1 is left with costs of Infinity alone; allow it a pair',
    ],
    [[], -1, 0, 'linearSumAssignment: rows and columns are whole numbers from 0 up; got -1 and 0; count them'],
  ])('refuses %j', (costs, rows, columns, message) => {
    expect(() => linearSumAssignment(costs, rows, columns)).toThrow(message);
  });
});
