import { upsampleNearest } from '@rass/kernels';
import { conv2d, randomParams } from '@rass/nn';
import { describeOnBackends, expectClose, gradientCheck, randomValues } from '@rass/testkit';
import { slice, type Tensor4D, tensor4d, tidy } from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { foldedUpsampler, upsampleConv } from './upsample.ts';

const random = (shape: [number, number, number, number]): Tensor4D =>
  tensor4d(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed: 2 },
    ),
    shape,
  );

describeOnBackends('upsampling convolution', (backend) => {
  it('equals repeated pixels and a 3x3 convolution', async () => {
    const p = randomParams(1).conv2d(3, 5, { padding: 1 });
    for (const shape of [
      [2, 4, 7, 3],
      [1, 1, 2, 3],
    ] as [number, number, number, number][]) {
      const x = random(shape);
      const y = upsampleConv(foldedUpsampler(p), x);
      await expectClose(y, conv2d(p, upsampleNearest(x)), { relative: 1e-5 });
    }
  });

  it('has no seam where a band has its neighbours rows in place of zeros', async () => {
    const p = foldedUpsampler(randomParams(1).conv2d(3, 2, { padding: 1 }));
    const x = random([1, 6, 4, 3]);
    const whole = upsampleConv(p, x);
    const band = upsampleConv(p, slice(x, [0, 1, 0, 0], [1, 4, 4, 3]), [0, 0]);
    await expectClose(band, slice(whole, [0, 4, 0, 0], [1, 4, 8, 2]), { relative: 1e-5 });
  });

  // On a software GPU the probes take long; the whole decoder's gradients are tested there.
  if (backend === 'webgpu') return;
  it('has the gradients that finite differences give', async () => {
    const p = randomParams(1).conv2d(2, 3, { padding: 1 });
    await gradientCheck(
      (x, weight) => tidy(() => upsampleConv(foldedUpsampler({ ...p, weight: weight as Tensor4D }), x as Tensor4D)),
      [random([1, 3, 4, 2]), p.weight],
    );
  });
});
