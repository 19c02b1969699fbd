import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { selectBackend } from '@rass/kernels';
import { normalNoise } from '@rass/nn';
import { pythonExecutable, runPython } from '@rass/testkit/python';
import { vocabularyFiles } from '@rass/text-encoder/presets';
import { describe, expect, it } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
const oracle = join(here, '../test-fixtures/oracle/text_to_image.py');

function runExample(...args: string[]): string {
  const options = { encoding: 'utf8', timeout: 100_000 } as const;
  const run = spawnSync(process.execPath, [join(here, '01-text-to-image.ts'), ...args], options);
  expect(run.status, run.stderr).toBe(0);
  return run.stdout;
}

describe.skipIf(pythonExecutable() === undefined)('example 01', () => {
  it("draws the picture that diffusers' pipeline draws, from the folder that it saved", async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rass-example-'));
    try {
      for (const [name, text] of Object.entries(vocabularyFiles())) writeFileSync(join(folder, name), text);
      await selectBackend('cpu');
      const noise = await normalNoise([1, 16, 16, 4], 7).data();
      writeFileSync(join(folder, 'noise.f32'), new Uint8Array(noise.buffer, noise.byteOffset, noise.byteLength));
      runPython(oracle, [folder]);
      const out = join(folder, 'image.ppm');
      const options = ['--steps', '10', '--size', '32', '--seed', '7', '--out', out];
      runExample(join(folder, 'model'), 'a red house under a tree', ...options);
      const bytes = readFileSync(out).subarray('P6\n32 32\n255\n'.length);
      const expected = new Float32Array(new Uint8Array(readFileSync(join(folder, 'image.f32'))).buffer);
      expect(bytes.length).toBe(expected.length);
      // One level: rounding to bytes may fall either way of a half.
      expect(Math.max(...expected.map((value, i) => Math.abs(Math.round(value * 255) - bytes[i])))).toBeLessThanOrEqual(
        1,
      );
      expect(new Set(bytes).size).toBeGreaterThan(50);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
