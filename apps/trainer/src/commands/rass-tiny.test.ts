import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeImage, encodePng } from '@rass/images';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mean } from '../evaluation/scores.ts';
import { weightsFolder } from '../weights/install-once.ts';
import { rass } from './rass.test-support.ts';

// The model that is part of the repository, as `npm run demo` shows it.
const at = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const MODEL = at('models/rass-tiny');
const PHOTOGRAPHS = ['cat', 'coffee', 'rocket'].map((name) => at(`test-fixtures/images/${name}.jpg`));
const SETTINGS = at('apps/trainer/recipes/tiny/degradation.yml');
const TIME = 600_000;
/** How far a flat colour's mean may be off. */
const FLAT_LEVELS = 0.5;

let folder: string;
let stdout: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-tiny-'));
  const inputs = ['--model', MODEL, '--photographs', ...PHOTOGRAPHS, '--degradation', SETTINGS];
  const ran = rass('demo', ...inputs, '--out', join(folder, 'demo.html'), '--no-open');
  if (ran.status !== 0) throw new Error(ran.stderr);
  stdout = ran.stdout;
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** PSNR, SSIM and LPIPS of a row. */
function scoresOf(row: string): [psnr: number, ssim: number, lpips: number] {
  const found = new RegExp(`^${row} +([\\d.]+) +([\\d.]+) +(.+)$`, 'm').exec(stdout);
  if (found === null) throw new Error(`no row "${row}" in:\n${stdout}`);
  return [Number(found[1]), Number(found[2]), Number(found[3])];
}

it('is under 12 MB in all', () => {
  const files = globSync('**/*', { cwd: MODEL, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  expect(bytes).toBeGreaterThan(5e6);
  expect(bytes).toBeLessThan(12e6);
});

it.each(['3 photographs', '6 scenes'])('brings %s closer to the good ones', (what) => {
  expect(scoresOf(`${what}, restored`)[0]).toBeGreaterThan(scoresOf(`${what}, degraded`)[0]);
});

it.skipIf(!existsSync(join(weightsFolder(), 'lpips-alex.safetensors')))(
  'brings them closer to the eye, too (skipped without rass weights install lpips)',
  () => {
    for (const what of ['3 photographs', '6 scenes'])
      expect(scoresOf(`${what}, restored`)[2]).toBeLessThan(scoresOf(`${what}, degraded`)[2]);
  },
);

it('finds in bad photographs of scenes what they show', () => {
  const share = (name: string): number => Number(new RegExp(`^${name} +([\\d.]+) %$`, 'm').exec(stdout)?.[1]);
  expect(share('mIoU')).toBeGreaterThan(40);
  expect(share('pixels that are right')).toBeGreaterThan(75);
});

it(
  'leaves the colours of flat pictures as they are, in restore and in what segment restores',
  async () => {
    const colours = { black: [0, 0, 0], blue: [20, 40, 200], grey: [128, 128, 128] };
    mkdirSync(join(folder, 'flat'));
    for (const [name, colour] of Object.entries(colours)) {
      const data = new Uint8Array(96 * 64 * 3).map((_, i) => colour[i % 3]!);
      writeFileSync(join(folder, 'flat', `${name}.png`), encodePng({ width: 96, height: 64, data }));
    }
    for (const command of ['restore', 'segment'])
      expect(rass(command, join(folder, 'flat'), '--model', MODEL, '--out', join(folder, command)).status).toBe(0);
    for (const [name, colour] of Object.entries(colours))
      for (const path of [`restore/${name}.png`, `segment/restored/${name}.png`]) {
        const { data } = await decodeImage(readFileSync(join(folder, path)));
        const means = colour.map((_, c) => mean([...data].filter((_, i) => i % 3 === c)));
        for (const [c, value] of means.entries()) expect(Math.abs(value - colour[c]!), path).toBeLessThan(FLAT_LEVELS);
      }
  },
  TIME,
);

it('shows all of it on a page', () => {
  const html = readFileSync(join(folder, 'demo.html'), 'utf8');
  expect(html.match(/data:image\/png/g)?.length).toBe(4 * 3 + 5 * 6);
});
