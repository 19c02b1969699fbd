import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runSmall, trainSmallModel } from './run-small.test-support.ts';
import { smallScr } from './small-recipes.test-support.ts';

const PHOTOGRAPHS = fileURLToPath(new URL('../../../../test-fixtures/images', import.meta.url));
const TIME = 300_000;

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-mixed-'));
  await trainSmallModel(folder);
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What each step of stage 1 logged, on sources in these shares. */
async function termsOf(name: string, scenes: number, photographs: number): Promise<Record<string, number>[]> {
  const parts = [
    { source: { kind: 'scenes', size: 64 }, share: scenes },
    { source: { kind: 'folder', folder: PHOTOGRAPHS }, share: photographs },
  ] as const;
  await runSmall(folder, {
    ...smallScr(4, path('small-unet', 'model')),
    name,
    data: { source: { kind: 'mix', parts: [...parts] }, augment: { crop: 64, colour: true }, workers: 0 },
    degradation: 'rass',
    loss: { kind: 'none', warmUp: 1 },
  });
  const lines = readFileSync(path(name, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line)).filter((row) => 'loss' in row);
}

it(
  'stage 1 learns from photographs without labels beside scenes with them',
  async () => {
    const both = await termsOf('both', 1, 1);
    expect(both.length).toBe(4);
    for (const { loss, l2, alignment } of both) {
      expect([loss, l2, alignment].every(Number.isFinite)).toBe(true);
      expect(l2).toBeGreaterThan(0);
    }
    expect(both.some(({ alignment }) => alignment! > 0)).toBe(true);
    const alone = await termsOf('alone', 1e-9, 1);
    expect(alone.every(({ alignment }) => alignment === 0)).toBe(true);
  },
  TIME,
);
