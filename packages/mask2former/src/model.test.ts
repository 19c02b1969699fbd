import { forwardPass } from '@rass/kernels';
import { countParams, disposeParams, mapTensors, namedTensors, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { dispose, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { goldenFile, goldenMap, goldenPoints, goldenWeight, type ModelCase, modelCase } from './golden.test-support.ts';
import {
  detectron2Names,
  loadMask2Former,
  type Mask2Former,
  mask2Former,
  mask2FormerCriterion,
  mask2FormerParams,
  outputOf,
  outputTensors,
  parseMask2FormerConfig,
  parseSwinConfig,
  postProcessInstanceSegmentation,
  postProcessPanopticSegmentation,
  postProcessSemanticSegmentation,
  type SegmentInfo,
} from './index.ts';

it.each(['tiny', 'large'])("has the parameters of transformers' model: swin-%s", (name) => {
  const published = JSON.parse(Buffer.from(goldenFile('counts.json')).toString())[name];
  const { backbone_config, count, ...head } = published;
  const config = { backbone: parseSwinConfig(backbone_config), head: parseMask2FormerConfig(head) };
  expect(countParams(mask2FormerParams(shapeParams(), config))).toBe(count);
});

// Logits are up to 30 and as exact as 1e-4 of that, which are thousandths of a probability.
const SCORE_DIGITS = 3;

interface TheirSegment {
  readonly id: number;
  readonly label_id: number;
  readonly score: number;
}
const infoOf = (segments: readonly SegmentInfo[]) => segments.map(({ id, labelId, score }) => ({ id, labelId, score }));
const theirInfo = (segments: readonly TheirSegment[]) =>
  segments.map(({ id, label_id, score }) => ({ id, labelId: label_id, score: expect.closeTo(score, SCORE_DIGITS) }));

async function load({ config, open }: ModelCase): Promise<Mask2Former> {
  const checkpoint = await open();
  const { params } = await loadMask2Former(checkpoint, config);
  await checkpoint.close();
  return params;
}

describeOnBackends('mask2Former', () => {
  for (const name of ['model', 'model-pre-norm']) {
    it(`equals transformers from the image on: ${name}`, async () => {
      const { golden, config } = modelCase(name);
      const params = await load(modelCase(name));
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

  it('takes the same step of training from the same file: matching, loss and gradients, in one forward pass', async () => {
    const { golden: model } = modelCase('model');
    const golden = loadGolden('mask2former/model-training');
    const params = await load(modelCase('model'));
    const pixels = goldenMap(model, 'in/pixels');
    const targets = [0, 1].map((image) => ({
      classes: Array.from(golden.raw(`in/classes.${image}`).values),
      masks: golden.tensor(`in/masks.${image}`) as Tensor3D,
    }));
    const names = golden.names('grad/');
    const weights = namedTensors(params).filter(({ key }) => names.includes(key));
    await expectNoLeaks(async () => {
      const pass = forwardPass(
        (given: Record<string, Tensor>) => {
          const tree = mapTensors(params, ({ key, tensor }) => given[key] ?? tensor);
          return outputTensors(mask2Former(tree, pixels, { auxiliary: true }));
        },
        Object.fromEntries(weights.map(({ key, tensor }) => [key, tensor])),
      );
      const options = { points: goldenPoints(golden), trainNumPoints: golden.config.points };
      const {
        loss,
        gradients: ofOutput,
        matching,
      } = await mask2FormerCriterion(outputOf(pass.outputs), targets, options);
      const gradients = pass.gradients(ofOutput);
      await expectClose([loss], golden.raw('out/loss').values);
      for (const [layer, images] of matching.layers.entries()) {
        for (const [image, { queries, targets: chosen }] of images.entries()) {
          expect(Array.from(queries)).toEqual(Array.from(golden.raw(`out/queries.${layer}.${image}`).values));
          expect(Array.from(chosen)).toEqual(Array.from(golden.raw(`out/targets.${layer}.${image}`).values));
        }
      }
      for (const key of names) {
        const expected = goldenWeight(golden, `grad/${key}`);
        await expectClose(gradients[key], expected, { relative: 1e-3, label: key });
        expected.dispose();
      }
      dispose([ofOutput, gradients]);
    });
    disposeParams(params);
    dispose([pixels, ...targets.map(({ masks }) => masks)]);
  });

  it('finds the same segments, from the same file', async () => {
    const { golden: model } = modelCase('model');
    const golden = loadGolden('mask2former/model-segmentations');
    const params = await load(modelCase('model'));
    const pixels = goldenMap(model, 'in/pixels');
    const output = mask2Former(params, pixels);
    const targetSizes = golden.config.sizes;
    const semantic = await postProcessSemanticSegmentation(output, { targetSizes });
    const instances = await postProcessInstanceSegmentation(output, {
      targetSizes,
      threshold: 0.1,
      returnBinaryMaps: true,
    });
    const panoptic = await postProcessPanopticSegmentation(output, {
      targetSizes,
      threshold: 0.1,
      maskThreshold: 0.1,
      overlapMaskAreaThreshold: 0.1,
    });
    for (const image of [0, 1]) {
      const { values } = golden.raw(`out/semantic.${image}`);
      expect(Array.from(semantic[image].segmentation.data)).toEqual(Array.from(values));
      const { values: segments } = golden.raw(`out/panoptic.${image}`);
      expect(Array.from(panoptic[image].segmentation.data)).toEqual(Array.from(segments));
      expect(infoOf(panoptic[image].segmentsInfo)).toEqual(theirInfo(golden.config.panoptic[image]));
      // Theirs are in the order of an unsorted topk, ours from the surest class on; which is which, the score tells.
      const { values: masks, shape } = golden.raw(`out/instance.${image}`);
      const theirs = (golden.config.instance[image] as TheirSegment[]).map(({ score, label_id }, i) => {
        const area = shape[1] * shape[2];
        return { score, labelId: label_id, mask: Array.from(masks.slice(i * area, (i + 1) * area)) };
      });
      const { segmentsInfo, binaryMaps = [] } = instances[image];
      const ours = segmentsInfo.map(({ score, labelId }, i) => ({ score, labelId, mask: Array.from(binaryMaps[i]) }));
      const byScore = (a: { score: number }, b: { score: number }): number => b.score - a.score;
      expect(ours.sort(byScore)).toEqual(
        theirs.sort(byScore).map((each) => ({ ...each, score: expect.closeTo(each.score, SCORE_DIGITS) })),
      );
    }
    dispose([output.classQueriesLogits, output.masksQueriesLogits, pixels]);
    disposeParams(params);
  });

  it('reads the names of detectron2, the same numbers', async () => {
    const { config, open } = modelCase('model');
    const ours = await load(modelCase('model'));
    const checkpoint = detectron2Names(await open('detectron2.safetensors'));
    const { params: theirs } = await loadMask2Former(checkpoint, config);
    await checkpoint.close();
    const values = new Map(namedTensors(theirs).map(({ key, tensor }) => [key, tensor]));
    for (const { key, tensor } of namedTensors(ours)) {
      await expectClose(values.get(key) as Tensor, tensor, { relative: 0, label: key });
    }
    disposeParams([ours, theirs]);
  });
});
