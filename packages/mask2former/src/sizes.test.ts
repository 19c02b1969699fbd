import { gradients } from '@rass/kernels';
import { disposeParams, mapTensors, namedTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import {
  add,
  dispose,
  mean,
  mul,
  norm,
  range,
  reshape,
  type Scalar,
  sin,
  type Tensor,
  type Tensor4D,
  tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { goldenWeight, modelCase } from './golden.test-support.ts';
import { loadMask2Former, type Mask2Former, type Mask2FormerOutput, mask2Former } from './index.ts';

const golden: Golden = loadGolden('mask2former/sizes');
const { sizes, contrast, order } = golden.config as { sizes: [number, number][]; contrast: number; order: string[] };

const sines = (x: Tensor): Tensor => reshape(sin(mul(range(0, x.size), 0.7)), x.shape);

/** The mean of each layer's logits times sines, by their place. */
function loss({ auxiliary, ...last }: Mask2FormerOutput): Scalar {
  const logits = [...auxiliary, last].flatMap((layer) => [layer.classQueriesLogits, layer.masksQueriesLogits]);
  return logits.map((x): Tensor => mean(mul<Tensor>(x, sines(x)))).reduce((a, b) => add(a, b)) as Scalar;
}

function pixelsOf(at: string): Tensor4D {
  const values = Float32Array.from(golden.raw(`in/pixels.${at}`).values, (byte) => (byte / 255 - 0.5) * contrast);
  return tidy(() => transpose(tensor(values, golden.raw(`in/pixels.${at}`).shape as never), [0, 2, 3, 1]) as Tensor4D);
}

const isFloat = ({ tensor }: { tensor: Tensor }): boolean => tensor.dtype === 'float32';

async function load(): Promise<Mask2Former> {
  const { config, open } = modelCase('model');
  const checkpoint = await open();
  const { params } = await loadMask2Former(checkpoint, config);
  await checkpoint.close();
  return params;
}

describeOnBackends('gradients of Mask2Former with one image', () => {
  it.each(sizes)("are transformers': %i x %i", { timeout: 120_000 }, async (rows, columns) => {
    const at = `${rows}x${columns}`;
    const params = await load();
    const weights = Object.fromEntries(
      namedTensors(params)
        .filter(isFloat)
        .map(({ key, tensor }) => [key, tensor]),
    );
    const pixels = pixelsOf(at);
    await expectNoLeaks(async () => {
      const found = gradients((given: Record<string, Tensor>) => {
        const tree = mapTensors(params, ({ key, tensor }) => given[key] ?? tensor);
        return loss(mask2Former(tree, pixels, { auxiliary: true }));
      }, weights);
      for (const key of golden.names(`grad/${at}/`)) {
        const expected = goldenWeight(golden, `grad/${at}/${key}`);
        await expectClose(found[key], expected, { relative: 1e-3, label: key });
        expected.dispose();
      }
      const lengths: number[] = [];
      for (const key of order) {
        const length = tidy(() => norm(found[key]));
        lengths.push((await length.data())[0]);
        length.dispose();
      }
      const all = golden.raw('out/lengths').values;
      const which = sizes.findIndex(([height, width]) => height === rows && width === columns);
      await expectClose(lengths, all.slice(which * order.length, (which + 1) * order.length), {
        relative: 1e-3,
        label: 'lengths of all gradients',
      });
      dispose(found);
    });
    disposeParams(params);
    pixels.dispose();
  });
});
