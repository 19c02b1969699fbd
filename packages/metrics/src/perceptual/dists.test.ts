import { gradients } from '@rass/kernels';
import { countParams, disposeParams, ParamSource, randomParams, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { ones, type Tensor, type Tensor4D, tidy, transpose } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { dists, distsParams } from '../dists.ts';
import { NETWORKS } from './networks.ts';

/** VGG16 with a sixteenth of its channels, as test-fixtures/make/dists.py makes it. */
const narrow = NETWORKS.vgg.map((spec) => ({ ...spec, channels: spec.channels / 16 }));

it('has the parameters of the published network', () => {
  expect(countParams(distsParams(shapeParams()))).toBe(14_714_688 + 2 * 1_475);
});

describeOnBackends('dists against PyTorch', () => {
  it('distance, and gradients by both images', async () => {
    const g = loadGolden('metrics/dists');
    const source = new ParamSource(({ key, layout }) => {
      const stored = g.tensor(`w/${key}`);
      return layout === 'conv2d' ? tidy(() => transpose(stored, [2, 3, 1, 0])) : stored;
    });
    const p = distsParams(source, narrow);
    const image = (name: string): Tensor4D => tidy(() => transpose(g.tensor(name), [0, 2, 3, 1]) as Tensor4D);
    const inputs = { a: image('in/a') as Tensor, b: image('in/b') as Tensor };
    await expectNoLeaks(() => dists(p, inputs.a as Tensor4D, inputs.b as Tensor4D).dispose());
    await expectClose(dists(p, inputs.a as Tensor4D, inputs.b as Tensor4D), g.tensor('out/distance'));
    const found = gradients(({ a, b }) => dists(p, a as Tensor4D, b as Tensor4D), inputs, { dy: g.tensor('in/dy') });
    for (const name of ['a', 'b'] as const)
      await expectClose(found[name], image(`grad/${name}`), { relative: 1e-3, label: name });
  });

  it('is 0 for equal images, flat ones too, and says what is wrong', async () => {
    const p = distsParams(randomParams(1), narrow);
    const flat: Tensor4D = ones([1, 32, 32, 3]);
    const [distance] = await dists(p, flat, flat).data();
    expect(Math.abs(distance)).toBeLessThan(1e-6);
    expect(() => dists(p, flat, ones([1, 32, 30, 3]))).toThrow(
      'dists: two images of one size are compared, [B, H, W, 3] with values from -1 to 1; got [1,32,32,3] and [1,32,30,3]; resize or crop one',
    );
    disposeParams(p);
  });
});
