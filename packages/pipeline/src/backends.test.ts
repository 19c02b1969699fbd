import { fileURLToPath } from 'node:url';
import { mask2FormerHead, parseMask2FormerConfig } from '@rass/mask2former';
import { disposeParams, type ParamSource } from '@rass/nn';
import { rassFeatures, rassHeadParams, restoreLatents } from '@rass/rass';
import { drawScene } from '@rass/scenes';
import { activateBackend, describeOnBackends } from '@rass/testkit';
import { unscaleLatents, vaeDecode } from '@rass/vae';
import { memory, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { latentsOf } from './images/latents.ts';
import { imageBatch } from './images/tensors.ts';
import { restoringUnet, segmentingUnet } from './model/load-stage.ts';
import { openModel, openPipeline } from './node.ts';

const MODEL = fileURLToPath(new URL('../../../models/rass-tiny', import.meta.url));
const image = drawScene({ seed: 2 ** 31 + 5, width: 64, height: 64 }).image;

/** What a trained model makes of a photograph, before anything is rounded. */
async function outputs(packed: boolean): Promise<Record<string, Float32Array>> {
  const model = await openModel(MODEL, { packed });
  const [restoration, segmentation] = [model.stages.restoration!, model.stages.segmentation!];
  const [vae, text, schedule] = [await model.loadVae(), await model.loadTags(), model.schedule()];
  const unet = await restoringUnet(model, await model.loadUnet(), restoration);
  const base = await restoringUnet(model, await model.loadUnet(), restoration);
  const config = parseMask2FormerConfig(segmentation.head);
  const headParams = (from: ParamSource) => rassHeadParams(from, config, segmentation.fusion);
  const segmenter = await segmentingUnet(model, base, headParams, segmentation);
  await model.close();
  const prompt = text.embed(await text.prompt([]));
  const { timestep, latentUpdate } = restoration;
  const tensors: Record<string, Tensor> = tidy(() => {
    const latents = restoreLatents({ unet, schedule }, latentsOf(vae, [image]), prompt, {
      timestep,
      latentUpdate,
    }).latents;
    const { fusion, head } = segmenter.head;
    const features = rassFeatures({ vae, unet: segmenter.unet, fusion }, imageBatch([image]), prompt, {
      timestep: segmentation.timestep,
    });
    const { classQueriesLogits: classes, masksQueriesLogits: masks } = mask2FormerHead(head, features);
    const restored = vaeDecode(vae, unscaleLatents(vae.config, latents)).image;
    return { latents, restored, classes, masks };
  });
  const values = Object.entries(tensors).map(async ([name, tensor]) => [name, (await tensor.data()) as Float32Array]);
  const found = Object.fromEntries(await Promise.all(values)) as Record<string, Float32Array>;
  for (const tensor of Object.values(tensors)) tensor.dispose();
  disposeParams([vae, unet, segmenter.unet, segmenter.head]);
  prompt.dispose();
  text.dispose();
  return found;
}

describeOnBackends('a trained model', () => {
  let [expected, found, packed]: Record<string, Float32Array>[] = [{}, {}, {}];
  beforeAll(async () => {
    found = await outputs(false);
    packed = await outputs(true);
    await activateBackend('native');
    expected = await outputs(false);
  }, 600_000);

  const OUTPUTS = ['latents', 'restored', 'classes', 'masks'];
  const KINDS = ['of float32', 'that stay as they are stored'];
  it.each(KINDS.flatMap((kind) => OUTPUTS.map((name) => [kind, name])))(
    'gives with weights %s the same %s as on native',
    (kind, name) => {
      const [a, b] = [expected[name]!, (kind === KINDS[0] ? found : packed)[name]!];
      expect(b.length).toBe(a.length);
      const most = a.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const off = a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0);
      expect(off / most).toBeLessThan(1e-3);
      expect(most).toBeGreaterThan(0.1);
    },
  );
}, ['webgpu', 'wasm']);

describeOnBackends('a trained model for both tasks', () => {
  it('takes the memory of its files, and not twice that of its UNet', async () => {
    const bytes: number[] = [];
    const before = memory().numTensors;
    for (const packed of [false, true]) {
      const pipeline = await openPipeline(MODEL, { restore: true, segment: true, packed });
      await pipeline.restore(image);
      await pipeline.segment(image);
      bytes.push((memory() as unknown as { numBytesInGPU: number }).numBytesInGPU);
      pipeline.dispose();
      expect(memory().numTensors).toBe(before);
    }
    // Of float32, the weights of two UNets; of float16, of one and what was trained beside it.
    expect(bytes[1]! / bytes[0]!).toBeLessThan(0.45);
  });
}, ['webgpu']);
