import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPipeline } from '@rass/pipeline/node';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { smallSeg } from '../training/small-recipes.test-support.ts';
import { rass } from './rass.test-support.ts';

const ORACLE = fileURLToPath(new URL('../../../../test-fixtures/oracle/upstream_checkpoints.py', import.meta.url));
const TIME = 600_000;

let folder: string;
let model: string;
const path = (...names: string[]) => join(folder, ...names);

const putJson = (name: string, value: unknown): string => {
  writeFileSync(path(name), JSON.stringify(value));
  return path(name);
};

describe.skipIf(pythonExecutable() === undefined)('rass import', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rass-import-'));
    model = await trainSmallModel(folder);
    const [scr, seg] = ['scr.safetensors', 'seg.safetensors'].map((name) => join(model, name)) as [string, string];
    runPython(ORACLE, [scr, seg, path('scr.pkl'), path('model_final.pth'), '4']);
  }, TIME);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it(
    "takes over upstream's files, which do what the model did",
    async () => {
      const { head, fusion } = smallSeg(1, '');
      const out = path('imported');
      const unet = path('small-unet', 'model');
      const files = ['--scr', path('scr.pkl'), '--seg', path('model_final.pth')];
      const shapes = ['--head', putJson('head.json', head), '--fusion', putJson('fusion.json', fusion)];
      const classes = SCENE_CLASSES.map(({ name, colour }) => ({ name, colour }));
      const { status, stderr } = rass('import', unet, ...files, ...shapes, '--classes', putJson('classes.json', classes), '--out', out); // biome-ignore format: one line
      expect([status, stderr]).toEqual([0, '']);
      // The paper's own stages are read in another form of the latents' update: the same numbers, to be read in the small model's.
      const stages = JSON.parse(readFileSync(join(out, 'rass.json'), 'utf8'));
      expect(stages.restoration).toMatchObject({ rank: 4, alpha: 8, latentUpdate: 'ddpm', timestep: 1 });
      expect(stages.segmentation).toMatchObject({ rank: 4, alpha: 8, mergesRestoration: true, size: 512 });
      stages.restoration.latentUpdate = 'residual';
      writeFileSync(join(out, 'rass.json'), JSON.stringify(stages));
      const { image } = drawScene({ seed: 1, width: 64, height: 64 });
      const results = [];
      for (const each of [model, out]) {
        const pipeline = await openPipeline(each, { restore: true, segment: true });
        results.push([await pipeline.restore(image), await pipeline.segment(image, { shortSide: 64 })]);
        pipeline.dispose();
      }
      expect(results[1]).toEqual(results[0]);
    },
    TIME,
  );

  it(
    'says what is missing, and writes nothing then',
    () => {
      const out = path('nothing');
      const unet = path('small-unet', 'model');
      const nothing = rass('import', unet, '--out', out);
      expect([nothing.status, nothing.stderr]).toEqual([
        1,
        'import: there is something to import; got nothing; give --scr, --seg or both\n',
      ]);
      const taken = rass('import', unet, '--scr', path('scr.pkl'), '--out', folder);
      expect([taken.status, taken.stderr]).toEqual([
        1,
        expect.stringContaining('a model and what it is made of lie apart; got'),
      ]);
      const shapes = ['--head', path('head.json'), '--fusion', path('fusion.json'), '--classes', path('classes.json')];
      const other = rass('import', unet, '--seg', path('scr.pkl'), ...shapes, '--out', out);
      expect(other.status).toBe(1);
      expect(other.stderr).toContain('it has all of stage 2; got nothing for');
      expect(existsSync(out)).toBe(false);
    },
    TIME,
  );
});
