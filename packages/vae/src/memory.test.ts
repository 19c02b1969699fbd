import { randomParams, trainable } from '@rass/nn';
import { describeOnBackends, peakBytes, randomValues } from '@rass/testkit';
import { dispose, type Scalar, sum, type Tensor4D, tensor4d, tidy, variableGrads } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { parseVaeConfig, vaeDecode, vaeDecoderParams } from './index.ts';

// One level with many blocks, so that keeping what is inside all of them shows. The attention's matrix would be larger
// than all else at this size.
const config = parseVaeConfig({
  block_out_channels: [8],
  layers_per_block: 15,
  norm_num_groups: 2,
  mid_block_add_attention: false,
});
const FEATURES = 4 * 8 * 32 * 32;

const latentsOf = (): Tensor4D => tensor4d(randomValues(32 * 32 * 4, { seed: 1 }), [1, 32, 32, 4]);

describeOnBackends('vae, memory', () => {
  it('keeps no feature map longer than the next layers need it', () => {
    const decoder = vaeDecoderParams(randomParams(1), config);
    const latents = latentsOf();
    // 18 blocks; a norm composed of plain operations takes several maps.
    const peak = peakBytes(() => dispose(vaeDecode(decoder, latents)));
    expect(peak).toBeLessThan(12 * FEATURES);
  });

  it('keeps, with checkpointing, one feature map of each block in a training step', () => {
    const decoder = trainable(vaeDecoderParams(randomParams(1), config), () => true);
    const latents = latentsOf();
    const [all, checkpointed] = [false, true].map((checkpointing) =>
      peakBytes(() => {
        tidy(() => void variableGrads(() => sum(vaeDecode(decoder, latents, { checkpointing }).image) as Scalar));
      }),
    );
    expect(checkpointed).toBeLessThan(all / 2);
  });
});
