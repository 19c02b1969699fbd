import { gradients } from '@rass/kernels';
import { countParams, disposeParams, ParamSource, randomParams, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { ones, type Tensor, type Tensor4D, tensor, tidy, transpose, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type LpipsNet, lpips, lpipsParams } from '../lpips.ts';
import { NETWORKS } from './networks.ts';

/** The networks with a sixteenth of their channels, as test-fixtures/make/lpips.py makes them. */
const narrow = (net: LpipsNet) => NETWORKS[net].map((spec) => ({ ...spec, channels: spec.channels / 16 }));

it('has the parameters of the published networks', () => {
  expect(countParams(lpipsParams(shapeParams(), 'alex'))).toBe(2_469_696 + 1_152);
  expect(countParams(lpipsParams(shapeParams(), 'vgg'))).toBe(14_714_688 + 1_472);
  expect(() => lpipsParams(shapeParams(), 'squeeze' as LpipsNet)).toThrow(
    'lpips: a network is alex or vgg; got "squeeze"; choose one',
  );
});

describeOnBackends('lpips against PyTorch', () => {
  it.each(['alex', 'vgg'] as const)('%s: distance, and gradients by both images', async (net) => {
    const g = loadGolden(`metrics/lpips-${net}`);
    const source = new ParamSource(({ key, layout }) => {
      const stored = g.tensor(`w/${key}`);
      return layout === 'conv2d' ? tidy(() => transpose(stored, [2, 3, 1, 0])) : stored;
    });
    const p = lpipsParams(source, narrow(net));
    const image = (name: string): Tensor4D => tidy(() => transpose(g.tensor(name), [0, 2, 3, 1]) as Tensor4D);
    const inputs = { a: image('in/a') as Tensor, b: image('in/b') as Tensor };
    await expectNoLeaks(() => lpips(p, inputs.a as Tensor4D, inputs.b as Tensor4D).dispose());
    await expectClose(lpips(p, inputs.a as Tensor4D, inputs.b as Tensor4D), g.tensor('out/distance'));
    const found = gradients(({ a, b }) => lpips(p, a as Tensor4D, b as Tensor4D), inputs, { dy: g.tensor('in/dy') });
    for (const name of ['a', 'b'] as const)
      await expectClose(found[name], image(`grad/${name}`), { relative: 1e-3, label: name });
  });

  it('is 0 for equal images, with finite gradients where no feature is active', async () => {
    const p = lpipsParams(randomParams(1), narrow('alex'));
    const dead = lpipsParams(new ParamSource(({ shape }) => zeros([...shape])), narrow('alex'));
    const image = tensor(
      Float32Array.from({ length: 64 * 64 * 3 }, (_, i) => Math.sin(i)),
      [1, 64, 64, 3],
    ) as Tensor4D;
    await expectClose(lpips(p, image, image), [0]);
    const { x } = gradients(
      ({ x: each }) => lpips(dead, each as Tensor4D, image),
      { x: image as Tensor },
      { unconnected: 'zeros' },
    );
    expect(new Set((await x.data()).map(Math.abs))).toEqual(new Set([0]));
    disposeParams(p);
  });

  it('says what is wrong', () => {
    const p = lpipsParams(randomParams(1), narrow('alex'));
    expect(() => lpips(p, ones([1, 64, 64, 3]), ones([1, 64, 32, 3]))).toThrow(
      'lpips: two images of one size are compared, [B, H, W, 3] with values from -1 to 1; got [1,64,64,3] and [1,64,32,3]; resize or crop one',
    );
    disposeParams(p);
  });
});
