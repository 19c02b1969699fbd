import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { selectBackend } from '@rass/kernels';
import { mask2FormerHead, parseMask2FormerConfig } from '@rass/mask2former';
import type { ParamSource } from '@rass/nn';
import { restoringUnet, segmentingUnet } from '@rass/pipeline';
import { openModel, openPipeline } from '@rass/pipeline/node';
import { rassFeatures, rassHeadParams, semanticScores } from '@rass/rass';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { expectClose, pythonExecutable, runPython } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { tensor3d, tensor4d } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { smallSeg } from '../training/small-recipes.test-support.ts';
import { rass } from './rass.test-support.ts';

const PUBLISHED = fileURLToPath(new URL('../../../../test-fixtures/oracle/published_checkpoints.py', import.meta.url));
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
      expect(other.stderr).toContain(
        'scr.pkl: it has the Seg LoRA of one UNet; got none; give the model_final.pth of RASS',
      );
      expect(existsSync(out)).toBe(false);
    },
    TIME,
  );
});

/** The scores of a model that is read as a pipeline reads it, of an image whose only window it is itself. [H, W, V] */
async function scoresOf(folder: string, expected: Awaited<ReturnType<typeof openCheckpoint>>) {
  const model = await openModel(folder);
  const { restoration, segmentation: stage } = model.stages;
  if (stage === undefined) throw new Error('it segments');
  const base = await model.loadUnet();
  const restoring = stage.mergesRestoration && restoration ? await restoringUnet(model, base, restoration) : base;
  const config = parseMask2FormerConfig(stage.head);
  const params = (from: ParamSource) => rassHeadParams(from, config, stage.fusion);
  const { unet, head } = await segmentingUnet(model, restoring, params, stage);
  const vae = await model.loadVae();
  const [, H, W] = expected.info('image').shape as [number, number, number];
  const image = tensor4d(await readFloat32(expected, 'image'), [1, H, W, 3]);
  const text = tensor3d(await readFloat32(expected, 'text'), expected.info('text').shape as [number, number, number]);
  const features = rassFeatures({ vae, unet, fusion: head.fusion }, image, text, { timestep: stage.timestep });
  return semanticScores(mask2FormerHead(head.head, features), [H, W]).data();
}

describe.skipIf(pythonExecutable() === undefined)('files with all names that RASS publishes', () => {
  let published: string;
  const at = (name: string) => join(published, name);
  const shapes = () => ['--head', at('head.json'), '--fusion', at('fusion.json'), '--classes', at('classes.json')];
  const given = (base: string, files: Readonly<Record<string, string>>, out: string) => {
    const flags = Object.entries(files).flatMap(([flag, file]) => [`--${flag}`, at(file)]);
    return rass('import', at(base), ...flags, ...shapes(), '--out', at(out));
  };
  beforeAll(async () => {
    published = mkdtempSync(join(tmpdir(), 'rass-published-'));
    await selectBackend('native');
    expect(JSON.parse(runPython(PUBLISHED, [published]).trim().split('\n').at(-1)!).keys).toBeGreaterThan(1000);
  }, TIME);
  afterAll(() => rmSync(published, { recursive: true, force: true }));

  const both = { scr: 'scr.pkl', seg: 'model_final.pth' };
  const segAlone = { seg: 'model_final.pth' };

  it.each([
    ['with --scr', 'base', both, 1e-4],
    ['with --scr, of what was trained alone', 'base', { ...both, seg: 'trained-alone.pth' }, 1e-4],
    ['without --scr', 'base', segAlone, 1e-4],
    // The autoencoder's weights alone are of half precision then.
    ['without --scr, over a base of half precision', 'base-half', segAlone, 2e-3],
  ] as const)(
    'have the scores that PyTorch finds: %s',
    async (_, base, files, relative) => {
      const { status, stderr } = given(base, files, 'out');
      expect([status, stderr]).toEqual([0, '']);
      const expected = await openCheckpoint(at('expected.safetensors'));
      await expectClose(await scoresOf(at('out'), expected), await readFloat32(expected, 'scores'), { relative });
      await expected.close();
    },
    TIME,
  );

  it(
    'do not restore without --scr, which has stage 1’s first convolution',
    () => {
      expect(given('base', segAlone, 'alone').status).toBe(0);
      const stages = JSON.parse(readFileSync(at('alone/rass.json'), 'utf8'));
      expect(stages.restoration).toBeUndefined();
      expect(stages.segmentation).toMatchObject({ rank: 2, alpha: 8, mergesRestoration: false, timestep: 1 });
    },
    TIME,
  );

  const base = 'it was trained on the Stable Diffusion that is given; got ';
  const scr = 'its UNet is the base with the SCR LoRA merged; got ';
  it.each([
    ['another base', 'other-base', segAlone, `${base}273 of 273 tensors of the UNet that differ: conv_norm_out.bias (`],
    [
      'another base, with --scr',
      'other-base',
      both,
      `${base}273 of 273 tensors of the UNet that differ: conv_norm_out.bias (`,
    ],
    [
      'a base of other sizes',
      'narrow-base',
      both,
      'got 20 of another shape; look at the report; the adapter is of another model, or damaged\n',
    ],
    ['a base with another autoencoder', 'base', { seg: 'other-vae.pth' }, `${base}`],
    ['another SCR LoRA', 'base', { ...both, scr: 'other-scr.pkl' }, `${scr}`],
    [
      'OSEDiff’s file',
      'base',
      { scr: 'osediff.pkl' },
      'all of it is read: rank_unet, lists of layers and state_dict_unet; got rank_vae, vae_lora_encoder_modules, state_dict_vae, of OSEDiff, which adapts the autoencoder and restores from timestep 999; give the scr.pkl of RASS\n',
    ],
    [
      'PiSA-SR’s file',
      'base',
      { scr: 'pisa.pkl' },
      'it has rank_unet, lists of layers and state_dict_unet; got lora_rank_unet_pix, lora_rank_unet_sem, state_dict_unet; give the scr.pkl of RASS\n',
    ],
    [
      'an SCR LoRA that lacks layers',
      'base',
      { scr: 'short-scr.pkl' },
      'it has the three adapters of stage 1 and the first convolution, of this UNet; got nothing for ',
    ],
    ['a UNet in part', 'base', { seg: 'cut.pth' }, 'it has all of the UNet; got nothing for 4 of '],
    [
      'what was trained alone without --scr',
      'base',
      { seg: 'trained-alone.pth' },
      'without --scr it has the whole UNet, with the SCR LoRA merged; got what was trained alone; give --scr, too, or the whole file\n',
    ],
  ] as const)(
    'are refused with %s, and nothing is written',
    (_, folder, files, message) => {
      const { status, stderr } = given(folder, files, 'refused');
      expect(stderr).toContain(message);
      expect([status, existsSync(at('refused'))]).toEqual([1, false]);
    },
    TIME,
  );
});
