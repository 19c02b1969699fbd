import { gradients } from '@rass/kernels';
import { disposeParams, mapTensors, namedTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden } from '@rass/testkit';
import { type Checkpoint, loadParams } from '@rass/weights';
import { add, dispose, div, mul, reshape, sum, type Tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { FeaturePyramid } from './backbones/pyramid.ts';
import { parseMask2FormerConfig } from './config.ts';
import { goldenMap, goldenWeight, type ModelCase, modelCase } from './golden.test-support.ts';
import { type Mask2FormerHead, mask2FormerHead, mask2FormerHeadParams } from './head.ts';
import type { Mask2FormerOutput } from './outputs.ts';
import { pixelDecoder } from './pixel-decoder/pixel-decoder.ts';

// Swin's channels in these cases: 4, doubled at each stage.
const CHANNELS = { res2: 4, res3: 8, res4: 16, res5: 32 };
const OTHER_PARTS = { allowUnused: [/pixel_level_module\.encoder\./, 'criterion.empty_weight'] };

async function loadHead({ config }: ModelCase, checkpoint: Checkpoint): Promise<Mask2FormerHead> {
  const head = parseMask2FormerConfig(config);
  const { params } = await loadParams(checkpoint, (from) => mask2FormerHeadParams(from, head, CHANNELS), OTHER_PARTS);
  await checkpoint.close();
  return params;
}

const features = (golden: Golden): FeaturePyramid => ({
  res2: goldenMap(golden, 'out/res2'),
  res3: goldenMap(golden, 'out/res3'),
  res4: goldenMap(golden, 'out/res4'),
  res5: goldenMap(golden, 'out/res5'),
});

/** What every layer predicts, in order. */
const layersOf = ({ auxiliary, ...last }: Mask2FormerOutput) => [...auxiliary, last];

/** The one number that the golden case takes gradients of. */
function goldenLoss(golden: Golden, output: Mask2FormerOutput): Tensor {
  return tidy(() => {
    const terms = layersOf(output).map(({ classQueriesLogits, masksQueriesLogits }, i) => {
      const [B, Q, H, W] = masksQueriesLogits.shape;
      const rows = reshape(golden.tensor(`in/row.${i}`), [1, 1, H, 1]);
      const columns = reshape(golden.tensor(`in/column.${i}`), [1, 1, 1, W]);
      const masks = mul(mul(rows, columns), reshape(golden.tensor(`in/query.${i}`), [B, Q, 1, 1]));
      const classes = mul(classQueriesLogits, golden.tensor(`in/class.${i}`));
      return add(div(sum(classes), classes.size), div(sum(mul(masksQueriesLogits, masks)), masksQueriesLogits.size));
    });
    return terms.reduce((a, b) => add(a, b));
  });
}

describeOnBackends('mask2FormerHead', (backend) => {
  for (const name of ['model', 'model-pre-norm']) {
    it(`equals transformers, layer by layer: ${name}`, async () => {
      const each = modelCase(name);
      const head = await loadHead(each, await each.open());
      const pyramid = features(each.golden);
      const decoded = pixelDecoder(head.pixelDecoder, pyramid);
      await expectClose(decoded.maskFeatures, goldenMap(each.golden, 'out/mask_features'), { label: 'mask features' });
      for (const [i, x] of decoded.levels.entries()) {
        await expectClose(x, goldenMap(each.golden, `out/level.${i}`), { label: `level ${i}` });
      }
      const output = mask2FormerHead(head, pyramid, { auxiliary: true });
      const layers = layersOf(output);
      expect(layers.length).toBe(head.decoder.layers.length + 1);
      for (const [i, layer] of layers.entries()) {
        const [classes, masks] = ['class', 'masks'].map((kind) =>
          each.golden.tensor(`out/${kind}_queries_logits.${i}`),
        );
        await expectClose(layer.classQueriesLogits, classes, { label: `classes of layer ${i}` });
        await expectClose(layer.masksQueriesLogits, masks, { label: `masks of layer ${i}` });
      }
      const alone = mask2FormerHead(head, pyramid);
      expect(alone.auxiliary).toEqual([]);
      await expectClose(alone.masksQueriesLogits, output.masksQueriesLogits, { relative: 1e-6 });
      await expectNoLeaks(() => dispose(mask2FormerHead(head, pyramid, { auxiliary: true }) as never));
      disposeParams(head);
      dispose(pyramid as never);
    });

    it(`has transformers' gradients: ${name}`, async () => {
      const each = modelCase(name);
      const head = await loadHead(each, await each.open());
      const pyramid = features(each.golden);
      const names = each.golden
        .names('grad/')
        .filter((key) => key !== 'pixels' && !key.includes('.encoder.embeddings.'));
      const leaves = namedTensors(head).filter(({ key }) => names.includes(key));
      expect(leaves.map(({ key }) => key).sort()).toEqual(names.sort());
      const found = gradients(
        (values) => {
          const params = mapTensors(head, ({ key, tensor }) => values[key] ?? tensor);
          return goldenLoss(each.golden, mask2FormerHead(params, pyramid, { auxiliary: true }));
        },
        Object.fromEntries(leaves.map(({ key, tensor }) => [key, tensor])),
      );
      for (const key of names) {
        await expectClose(found[key], goldenWeight(each.golden, `grad/${key}`), { relative: 1e-3, label: key });
      }
      disposeParams(head);
      dispose([found, pyramid] as never);
    });
  }

  if (backend === 'cpu') {
    it('refuses features that do not fit', async () => {
      const each = modelCase('model');
      const head = await loadHead(each, await each.open());
      const pyramid = features(each.golden);
      const wide = zeros([2, 1, 2, 33]);
      expect(() => mask2FormerHead(head, { ...pyramid, res5: wide as never })).toThrow(
        'mask2FormerHead: res5 is [B, H, W, 32], B the same for all levels and not 0; got [2,1,2,33]; check the backbone',
      );
      disposeParams(head);
      dispose([wide, pyramid] as never);
    });
  }
});
