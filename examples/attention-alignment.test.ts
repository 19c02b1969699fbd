import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, inject, it } from 'vitest';

const number = (text: string, what: string): number => Number(new RegExp(`${what}: ([\\d.]+)`).exec(text)?.[1]);

// Two minutes on the native backend, and far more on the others.
const skipped = !process.env.RASS_TEST_DATA || !inject('backends').includes('native');

describe.skipIf(skipped)('example 02', () => {
  it('raises attention IoU from chance to over 0.8 in 200 steps, and draws the maps', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rass-example-'));
    try {
      const out = join(folder, 'maps.png');
      const program = join(import.meta.dirname, '02-attention-alignment.ts');
      const run = spawnSync(process.execPath, [program, '--backend', 'native', '--out', out], {
        encoding: 'utf8',
        timeout: 600_000,
      });
      expect(run.status, run.stderr).toBe(0);
      // Four photographs with 3 to 5 tags each.
      expect(number(run.stdout, 'before')).toBeLessThan(0.25);
      expect(number(run.stdout, 'after')).toBeGreaterThan(0.8);
      const { width, height, data } = decode(readFileSync(out));
      expect([width, height]).toEqual([5 * 96 + 4 * 4, 12 * 96 + 11 * 4]);
      expect(new Set(data).size).toBeGreaterThan(50);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 600_000);
});
