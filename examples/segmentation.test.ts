import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, inject, it } from 'vitest';

// Four minutes on the native backend, and far more on the others.
const skipped = !process.env.RASS_TEST_DATA || !inject('backends').includes('native');

describe.skipIf(skipped)('example 03', () => {
  it('overfits two photographs of ADE20K, from nothing: over 0.95 mIoU at their own size; and draws them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rass-example-'));
    try {
      const out = join(folder, 'segmentation.png');
      const program = join(import.meta.dirname, '03-segmentation.ts');
      const args = ['--backend', 'native', '--steps', '220', '--size', '320', '--out', out];
      const run = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 1_200_000 });
      expect(run.status, run.stderr).toBe(0);
      const ious = [...run.stdout.matchAll(/mIoU:? ([\d.]+)/g)].map(([, value]) => Number(value));
      expect(ious[0]).toBeLessThan(0.3);
      expect(ious.at(-1)).toBeGreaterThan(0.95);
      const { width, height, data } = decode(readFileSync(out));
      expect([width, height]).toEqual([3 * 683, 512 + 364]);
      expect(new Set(data).size).toBeGreaterThan(50);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 1_200_000);
});
