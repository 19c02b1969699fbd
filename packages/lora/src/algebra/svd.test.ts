import { expectClose, randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { exactSvd, type Svd, thinQr } from './decompositions.ts';
import {
  firstColumns,
  type Matrix,
  matrixOf,
  multiply,
  multiplyTransposed,
  scaleColumns,
  transpose,
} from './matrix.ts';
import { isSampled, productSvd, truncatedSvd } from './svd.ts';

const random = (rows: number, columns: number, seed: number): Matrix =>
  matrixOf(rows, randomValues(rows * columns, { seed }));

const product = ({ u, s, v }: Svd): Matrix => multiply(scaleColumns(u, s), transpose(v));

const identity = (size: number): Float64Array =>
  Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));

const expectOrthonormal = (q: Matrix, relative = 1e-12): Promise<void> =>
  expectClose(multiplyTransposed(q, q).data, identity(q.columns), { relative });

/** A matrix of known singular values. */
function known(rows: number, columns: number, values: Float64Array): { a: Matrix; left: Matrix; right: Matrix } {
  const [left, right] = [thinQr(random(rows, values.length, 1)).q, thinQr(random(columns, values.length, 2)).q];
  return { a: multiply(scaleColumns(left, values), transpose(right)), left, right };
}

/** A tenth less each: a sample has to tell neighbours apart. */
const falling = (count: number): Float64Array => Float64Array.from({ length: count }, (_, i) => 0.9 ** i);

describe('products of matrices', () => {
  it.each([1, 3, 4, 5, 8])('are sums of products, with %i rows', (rows) => {
    const [a, b] = [random(rows, 6, 1), random(6, 7, 2)];
    const expected = Array.from({ length: rows * 7 }, (_, at) => {
      const [i, j] = [Math.floor(at / 7), at % 7];
      return [0, 1, 2, 3, 4, 5].reduce((sum, k) => sum + a.data[i * 6 + k] * b.data[k * 7 + j], 0);
    });
    const turned = random(rows, 7, 3);
    const [product, back] = [multiply(a, b), multiplyTransposed(a, turned)];
    product.data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 12);
    });
    expect([...back.data]).toEqual([...multiply(transpose(a), turned).data].map((value) => expect.closeTo(value, 12)));
  });
});

describe('the QR decomposition', () => {
  it('is worked out by hand', () => {
    const { q, r } = thinQr(matrixOf(3, [3, 1, 0, 2, 4, 3]));
    // The first column is [3, 0, 4], the second [1, 2, 3] has 3 along it and [-0.8, 2, 0.6] across.
    expect([...r.data]).toEqual([5, 3, 0, Math.sqrt(5)].map((value) => expect.closeTo(value, 12)));
    const across = [-0.8, 2, 0.6].map((value) => value / Math.sqrt(5));
    expect([...q.data]).toEqual([0.6, across[0], 0, across[1], 0.8, across[2]].map((v) => expect.closeTo(v, 12)));
  });

  it('has orthonormal columns where those of the matrix depend on each other, or nearly do', async () => {
    const first = random(9, 2, 1);
    const columns = [first, first, matrixOf(9, new Float64Array(9))].flatMap((m) => [...transpose(m).data]);
    const dependent = transpose(matrixOf(5, columns));
    const near = matrixOf(9, dependent.data);
    near.data.forEach((value, i) => {
      near.data[i] = value + 1e-9 * random(9, 5, 3).data[i];
    });
    for (const a of [dependent, near, matrixOf(4, new Float64Array(16))]) {
      const { q, r } = thinQr(a);
      await expectOrthonormal(q);
      const most = Math.max(...a.data.map(Math.abs));
      multiply(q, r).data.forEach((value, i) => {
        expect(Math.abs(value - a.data[i])).toBeLessThanOrEqual(1e-14 * 9 * most);
      });
    }
  });
});

describe('the singular value decomposition', () => {
  it('is exact for small matrices', async () => {
    for (const a of [random(6, 9, 3), random(9, 6, 3), random(1, 5, 3), random(4, 4, 3)]) {
      const { u, s, v } = exactSvd(a);
      await expectClose(product({ u, s, v }).data, a.data, { relative: 1e-12 });
      await expectOrthonormal(u);
      await expectOrthonormal(v);
      expect([...s]).toEqual([...s].sort((x, y) => y - x));
    }
  });

  it('has the same signs however it is found', async () => {
    const values = falling(60);
    const { a, left, right } = known(330, 400, values);
    const factors = [scaleColumns(left, values), transpose(right)] as const;
    for (const found of [exactSvd(a, 8), exactSvd(transpose(a), 8), productSvd(...factors)]) {
      for (let k = 0; k < 8; k++) {
        const column = Array.from({ length: found.v.rows }, (_, i) => found.v.data[i * found.v.columns + k]);
        expect(Math.max(...column)).toBe(Math.max(...column.map(Math.abs)));
      }
    }
    await expectClose(exactSvd(a, 8).u.data, firstColumns(productSvd(...factors).u, 8).data, { relative: 1e-8 });
  });

  it('goes through the smaller product where it is large, and finds the same', async () => {
    const values = falling(60);
    const { a } = known(330, 400, values);
    for (const each of [a, transpose(a)]) {
      const found = exactSvd(each, 40);
      expect([found.u.columns, found.v.columns]).toEqual([40, 40]);
      await expectClose(found.s, values.slice(0, 40), { relative: 1e-10 });
      await expectOrthonormal(found.u, 1e-9);
      await expectOrthonormal(found.v, 1e-9);
      await expectClose(product(exactSvd(each)).data, each.data, { relative: 1e-10 });
    }
    await expectClose(product(exactSvd(matrixOf(330, new Float64Array(330 * 400)))).data, new Float64Array(330 * 400));
  });

  it('of a random sample finds the largest values of a large matrix as exactly', async () => {
    const values = falling(120);
    const { a, left, right } = known(700, 900, values);
    const best = multiply(
      scaleColumns(
        left,
        values.map((value, i) => (i < 12 ? value : 0)),
      ),
      transpose(right),
    );
    for (const [each, expected] of [
      [a, best],
      [transpose(a), transpose(best)],
    ]) {
      expect(isSampled(each, 12)).toBe(true);
      const found = truncatedSvd(each, 12);
      await expectClose(found.s, values.slice(0, 12), { relative: 1e-6 });
      await expectClose(product(found).data, expected.data, { relative: 1e-4 });
      expect(truncatedSvd(each, 12)).toEqual(found);
      expect(truncatedSvd(each, 12, { seed: 1 }).u.data).not.toEqual(found.u.data);
    }
    expect(isSampled(a, 40)).toBe(false);
    const exact = truncatedSvd(a, 3, { exact: true });
    await expectClose(exact.s, values.slice(0, 3), { relative: 1e-12 });
  });
});
