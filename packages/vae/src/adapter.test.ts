import { type Adapter, disposeParams, type Layer, mapLeaves, randomParams } from '@rass/nn';
import { describeOnBackends, expectClose } from '@rass/testkit';
import { add, mul, type Tensor, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { parseVaeConfig, vaeDecode, vaeDecoderParams } from './index.ts';

const twice = (layer: Layer): Layer =>
  ({ ...layer, adapter: undefined, weight: mul(layer.weight as Tensor, 2) }) as Layer;

/** Twice the weight: as an adapter beside a convolution, and as the one layer that it is. */
const doubled: Adapter = {
  params: undefined,
  forward: (_, layer, x, base) => {
    // What a norm gives may be activated already.
    if (layer.kind !== 'conv2d') return base(twice(layer), x);
    return tidy((): Tensor => add(base(layer, x), base({ ...layer, bias: undefined }, x)));
  },
  plain: (_, layer) => twice(layer),
};

describeOnBackends('adapters in the autoencoder', () => {
  it('count in folded upsampling, and in bands as in the whole', async () => {
    const config = parseVaeConfig({
      block_out_channels: [8, 8],
      down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
      up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
      norm_num_groups: 2,
      layers_per_block: 1,
    });
    const base = vaeDecoderParams(randomParams(1), config);
    const tree = mapLeaves(base, (leaf) =>
      /upsamplers|conv_norm_out|conv_in|norm1$/.test(leaf.path) && leaf.kind !== 'parameter'
        ? { ...leaf, adapter: doubled }
        : leaf,
    );
    const latents = randomParams(2).at('z').parameter<Tensor4D>([1, 6, 5, 4], { kind: 'normal', deviation: 1 }).value;
    const plain = mapLeaves(tree, (leaf) =>
      leaf.kind !== 'parameter' && leaf.adapter !== undefined ? doubled.plain(undefined, leaf) : leaf,
    );
    const expected = vaeDecode(plain, latents);
    await expectClose(vaeDecode(tree, latents).image, expected.image, { relative: 1e-5 });
    const tiling = { kind: 'exact', maxTensorBytes: 6000 } as const;
    await expectClose(vaeDecode(tree, latents, { tiling }).image, expected.image, { relative: 1e-5 });
    disposeParams(base);
  });
}, ['native', 'wasm', 'cpu']);
