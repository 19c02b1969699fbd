import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pythonExecutable, runPython } from '@rass/testkit';
import { expect, it } from 'vitest';
import { fixturePath } from '../fixtures.test-support.ts';
import { bufferSource } from '../source/byte-source.ts';
import { mutatedFile } from './mutations.test-support.ts';
import { openSafetensors } from './read.ts';
import { SafetensorsError } from './safetensors-error.ts';

const SEED = 1;
const COUNT = 10_000;

/** OK when every tensor was read, else the rule that the refusal names. Anything but our own error is a crash. */
async function ourVerdict(file: Uint8Array): Promise<string> {
  try {
    const checkpoint = await openSafetensors(bufferSource(file));
    for (const key of checkpoint.keys()) await checkpoint.read(key);
    return 'OK';
  } catch (error) {
    if (error instanceof SafetensorsError) return error.rule;
    throw error;
  }
}

function pythonVerdicts(files: readonly Uint8Array[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'rass-fuzz-'));
  try {
    const parts = files.flatMap((file) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(file.length));
      return [length, file];
    });
    writeFileSync(join(folder, 'batch'), Buffer.concat(parts));
    const script = fixturePath('oracle', 'weights_safetensors.py');
    return runPython(script, ['verdicts', join(folder, 'batch')])
      .trimEnd()
      .split('\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// Where two tensors start and end at the same places, the reference looks at them in the order of a randomized hash map.
const sameRule = (rule: string): string => (rule === 'InvalidOffset' ? 'TensorInvalidInfo' : rule);

it.skipIf(pythonExecutable() === undefined)(
  `takes and refuses ${COUNT} damaged files as the Python package does, by the same rule`,
  async () => {
    const files = Array.from({ length: COUNT }, (_, index) => mutatedFile(SEED, index));
    const theirs = pythonVerdicts(files);
    expect(theirs).toHaveLength(COUNT);
    const differences: string[] = [];
    for (const [index, file] of files.entries()) {
      const ours = await ourVerdict(file);
      if (sameRule(ours) === sameRule(theirs[index])) continue;
      differences.push(
        `file ${index}: ours ${ours}, Python's ${theirs[index]}: ${Buffer.from(file).toString('latin1')}`,
      );
    }
    expect(differences).toEqual([]);
    // The damage is varied: every rule that a file can break is among them, and a good part is sound.
    const counts = new Map<string, number>();
    for (const verdict of theirs) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    expect(counts.get('OK')).toBeGreaterThan(COUNT / 5);
    expect([...counts.keys()].sort()).toEqual([
      ...['HeaderTooLarge', 'HeaderTooSmall', 'InvalidHeader', 'InvalidHeaderDeserialization', 'InvalidHeaderLength'],
      ...[
        'InvalidOffset',
        'MetadataIncompleteBuffer',
        'MisalignedSlice',
        'OK',
        'TensorInvalidInfo',
        'ValidationOverflow',
      ],
    ]);
  },
);

it('refuses or reads damaged files without any other error', async () => {
  for (let index = 0; index < 2000; index++) await ourVerdict(mutatedFile(99, index));
});
