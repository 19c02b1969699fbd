import { countParams, disposeParams, namedTensors, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { goldenFile, goldenMap, modelCase } from './golden.test-support.ts';
import {
  detectron2Names,
  loadMask2Former,
  mask2Former,
  mask2FormerParams,
  parseMask2FormerConfig,
  parseSwinConfig,
} from './index.ts';

it.each(['tiny', 'large'])("has the parameters of transformers' model: swin-%s", (name) => {
  const published = JSON.parse(Buffer.from(goldenFile('counts.json')).toString())[name];
  const { backbone_config, count, ...head } = published;
  const config = { backbone: parseSwinConfig(backbone_config), head: parseMask2FormerConfig(head) };
  expect(countParams(mask2FormerParams(shapeParams(), config))).toBe(count);
});

describeOnBackends('mask2Former', () => {
  for (const name of ['model', 'model-pre-norm']) {
    it(`equals transformers from the image on: ${name}`, async () => {
      const { golden, config, open } = modelCase(name);
      const { params } = await loadMask2Former(await open(), config);
      const pixels = goldenMap(golden, 'in/pixels');
      await expectNoLeaks(async () => {
        const output = mask2Former(params, pixels);
        const last = (config as unknown as { decoder_layers: number }).decoder_layers - 1;
        const { values } = golden.raw(`out/masks_queries_logits.${last}`);
        await expectClose(await output.masksQueriesLogits.data(), values);
        await expectClose(
          await output.classQueriesLogits.data(),
          golden.raw(`out/class_queries_logits.${last}`).values,
        );
        dispose(output as never);
      });
      disposeParams(params);
      pixels.dispose();
    });
  }

  it('reads the names of detectron2, the same numbers', async () => {
    const { config, open } = modelCase('model');
    const ours = await loadMask2Former(await open(), config);
    const theirs = await loadMask2Former(detectron2Names(await open('detectron2.safetensors')), config);
    const values = new Map(namedTensors(theirs.params).map(({ key, tensor }) => [key, tensor]));
    for (const { key, tensor } of namedTensors(ours.params)) {
      await expectClose(values.get(key) as Tensor, tensor, { relative: 0, label: key });
    }
    disposeParams([ours.params, theirs.params]);
  });
});
