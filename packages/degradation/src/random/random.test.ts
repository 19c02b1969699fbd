import { describe, expect, it } from 'vitest';
import { normals } from './normal.ts';
import { poissonCounts } from './poisson.ts';
import { exp, log, power, sineCosine } from './portable-math.ts';
import { randomStream } from './random-stream.ts';

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

describe('portable functions', () => {
  it('are those of Math but for the last bits', () => {
    for (let i = 0; i < 2000; i++) {
      const x = (i - 1000) * 0.697;
      expect(exp(x) / Math.exp(x)).toBeCloseTo(1, 14);
      const positive = Math.exp((i - 1000) / 3);
      expect(log(positive)).toBeCloseTo(Math.log(positive), 12);
      const [base, exponent] = [Math.exp((i - 1000) / 200), 0.004 * (i + 1)];
      expect(power(base, exponent) / base ** exponent).toBeCloseTo(1, 12);
      const { sine, cosine } = sineCosine(x / 50);
      expect(sine).toBeCloseTo(Math.sin(x / 50), 15);
      expect(cosine).toBeCloseTo(Math.cos(x / 50), 15);
    }
  });

  it('have ends', () => {
    expect([exp(-800), exp(800), exp(Number.NaN), exp(0)]).toEqual([0, Number.POSITIVE_INFINITY, Number.NaN, 1]);
    expect([log(1), power(0, 0.5), power(7, 1)]).toEqual([0, 0, 7]);
  });
});

describe('streams', () => {
  // Drawn once: another machine, engine or version has to draw the same.
  it('are what they were', () => {
    const { bits } = randomStream(1, 'first/blur');
    expect([bits(), bits(), bits()]).toMatchInlineSnapshot(`
      [
        17232244,
        997708484,
        -57821104,
      ]
    `);
    expect([...normals(4, 7)]).toMatchInlineSnapshot(`
      [
        -1.7381032705307007,
        0.47961002588272095,
        -0.907910168170929,
        -1.071797490119934,
      ]
    `);
    expect([...poissonCounts(Uint8Array.of(0, 3, 128, 255), 256, 7)]).toMatchInlineSnapshot(`
      [
        0,
        3,
        146,
        257,
      ]
    `);
  });

  it('differ by seed and name', () => {
    const first = [
      [1, 'a'],
      [1, 'b'],
      [2, 'a'],
      [-1, 'a'],
      [2 ** 40 + 1, 'a'],
    ].map(([seed, name]) => randomStream(seed as number, name as string).bits());
    expect(new Set(first).size).toBe(first.length);
  });

  it('are even, and neighbours do not go together', () => {
    const { uniform } = randomStream(3, 'test');
    const values = Array.from({ length: 100_000 }, uniform);
    expect(mean(values)).toBeCloseTo(0.5, 2);
    expect(mean(values.map((value) => value * value))).toBeCloseTo(1 / 3, 2);
    expect(mean(values.map((value, i) => value * values[(i + 1) % values.length]))).toBeCloseTo(0.25, 2);
    // First draws of neighbouring seeds.
    const firsts = Array.from({ length: 20_000 }, (_, seed) => randomStream(seed, 'first/resize').uniform());
    expect(mean(firsts)).toBeCloseTo(0.5, 2);
    expect(mean(firsts.map((value, i) => value * firsts[(i + 1) % firsts.length]))).toBeCloseTo(0.25, 2);
  });

  it('choose by weights', () => {
    const { choose } = randomStream(3, 'test');
    const counts = { a: 0, b: 0, c: 0 };
    for (let i = 0; i < 10_000; i++) counts[choose({ a: 1, b: 3, c: 0 })]++;
    expect(counts.c).toBe(0);
    expect(counts.b / 10_000).toBeCloseTo(0.75, 1);
  });
});

describe('normal numbers', () => {
  const values = normals(1_000_000, 5);
  const share = (of: (value: number) => boolean): number => values.filter(of).length / values.length;

  it('have the moments', () => {
    expect(mean(values)).toBeCloseTo(0, 2);
    expect(mean(values.map((x) => x ** 2))).toBeCloseTo(1, 2);
    expect(mean(values.map((x) => x ** 3))).toBeCloseTo(0, 1);
    expect(mean(values.map((x) => x ** 4))).toBeCloseTo(3, 1);
  });

  it('have the shares, in the tail too', () => {
    expect(share((x) => x < -1)).toBeCloseTo(0.1587, 3);
    expect(share((x) => Math.abs(x) < 0.5)).toBeCloseTo(0.3829, 2);
    // 2 * (1 - cdf(3.6)) = 3.182e-4, give or take 2e-5 by chance.
    expect(Math.abs(share((x) => Math.abs(x) > 3.6) - 3.182e-4)).toBeLessThan(6e-5);
  });
});

describe('Poisson numbers', () => {
  it.each([0, 1, 10, 100, 255])('of level %d have its mean and variance', (level) => {
    const counts = poissonCounts(new Uint8Array(40_000).fill(level), 256, 9);
    const rate = (level / 255) * 256;
    const found = mean(counts);
    // Five deviations of a mean.
    expect(Math.abs(found - rate)).toBeLessThanOrEqual(5 * Math.sqrt(rate / counts.length));
    const variance = mean(counts.map((count) => (count - found) ** 2));
    expect(Math.abs(variance - rate)).toBeLessThanOrEqual(0.05 * rate);
  });
});
