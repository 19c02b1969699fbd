import { randomParams } from '@rass/nn';
import { describeOnBackends, expectClose } from '@rass/testkit';
import { ones, type Tensor4D, tensor4d, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  klDivergence,
  parseVaeConfig,
  sampleLatents,
  scaleLatents,
  type Vae,
  type VaeOptions,
  vaeDecode,
  vaeEncode,
  vaeEncodeWhole,
  vaeParams,
} from './index.ts';

const config = parseVaeConfig({
  block_out_channels: [4, 4, 4, 4],
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
  norm_num_groups: 2,
  sample_size: 64,
});

const image = (height: number, width: number, channels = 3): Tensor4D => ones([1, height, width, channels]);

describeOnBackends('vae, errors', () => {
  it('names what does not fit', () => {
    const vae = vaeParams(randomParams(1), config);
    const encode = (x: Tensor4D, options?: VaeOptions<string>) => () => vaeEncode(vae, x, options);
    expect(encode(image(16, 16, 4))).toThrow(
      'vaeEncode: the image is [B, H, W, 3]; got [1,16,16,4]; channels come last, with a batch axis first',
    );
    expect(encode(ones([16, 16, 3]) as unknown as Tensor4D)).toThrow(
      'vaeEncode: the image is [B, H, W, 3]; got [16,16,3]',
    );
    expect(encode(image(16, 7))).toThrow(
      'vaeEncode: sides of images are at least 8; got [1,16,7,3]; resize or pad first',
    );
    expect(() => vaeDecode(vae, image(4, 4))).toThrow('vaeDecode: the latents are [B, H, W, 4]; got [1,4,4,3]');
    expect(() => scaleLatents(config, image(4, 4))).toThrow('scaleLatents: latents are [B, h, w, 4]; got [1,4,4,3]');
    const { posterior } = vaeEncode(vae, image(16, 16));
    expect(() => sampleLatents(posterior, {} as { seed: number })).toThrow(
      'sampleLatents: a draw takes { seed } or { noise }; got neither; give one, such as { seed: 0 }',
    );
    expect(() => sampleLatents(posterior, { seed: Number.NaN })).toThrow('a seed is a whole number; got NaN');
    expect(() => sampleLatents(posterior, { noise: image(2, 3, 4) })).toThrow(
      "sampleLatents: the noise has the latents' shape; got noise [1,2,3,4], latents [1,2,2,4]; draw one value for each",
    );
  });

  it('encodes whole what is not to be tiled, and refuses to tile there', async () => {
    const vae = vaeParams(randomParams(1), config);
    const [whole, usual] = [vaeEncodeWhole, vaeEncode].map((encode) => encode(vae, image(16, 24)).posterior.mean);
    expect(await whole!.data()).toEqual(await usual!.data());
    const tiled = { tiling: 'exact' } as VaeOptions;
    expect(() => vaeEncodeWhole(vae, image(16, 16), tiled)).toThrow(
      "vae: images go whole here; got tiling 'exact'; use vaeEncode or vaeDecode",
    );
  });

  it('names options that do not go together', () => {
    const vae = vaeParams(randomParams(1), config);
    const encode = (options: VaeOptions<string>) => () => vaeEncode(vae, image(16, 16), options);
    expect(encode({ taps: ['encoder.down_block.1'] })).toThrow(
      'vaeEncode: taps are names of its modules; got "encoder.down_block.1"; closest: encoder.down_blocks.1',
    );
    expect(encode({ taps: ['decoder.mid_block'] })).toThrow('got "decoder.mid_block"');
    expect(encode({ taps: ['encoder'], tiling: 'blend' })).toThrow(
      "vae: blended tiles have no features of the whole image; got taps encoder; use tiling 'exact'",
    );
    expect(encode({ checkpointing: true, tiling: 'exact' })).toThrow(
      "vae: checkpointing is of the untiled pass; got tiling 'exact'; leave one of the two out",
    );
    expect(encode({ tiling: { kind: 'blend', tileSize: 48 } })).toThrow(
      'vae tiling: tileSize and tileSize x overlap are multiples of 8 pixels, with overlap in [0, 1); got tileSize 48, overlap 0.25; a multiple of 32 goes with 0.25',
    );
    for (const tileSize of [0, -8, 4, Number.NaN]) {
      expect(encode({ tiling: { kind: 'blend', tileSize } })).toThrow(
        `vae tiling: tileSize is a whole number of pixels from 8 up; got ${tileSize}; a multiple of 32 will do`,
      );
    }
    expect(encode({ tiling: 'tiled' as 'exact' })).toThrow(
      "vae: tiling is 'exact', 'blend' or an object of that kind; got \"tiled\"; leave it out for the whole image at once",
    );
    expect(encode({ tiling: { kind: 'exakt' as 'exact' } })).toThrow('got {"kind":"exakt"}; leave it out');
    expect(encode({ tiling: { kind: 'blend', overlap: 1 } })).toThrow('got tileSize 64, overlap 1');
  });
}, ['cpu']);

/** Everything zero but what is set here: the numbers can be followed by hand. */
function bare(): Vae {
  const one = parseVaeConfig({
    block_out_channels: [2],
    norm_num_groups: 1,
    latent_channels: 1,
    in_channels: 1,
    out_channels: 1,
  });
  const vae = vaeParams(randomParams(1), one);
  const centre = (rows: number[][]): number[] => [
    ...Array(4 * rows.flat().length).fill(0),
    ...rows.flat(),
    ...Array(4 * rows.flat().length).fill(0),
  ];
  const flat = (leaf: Vae['encoder']['convIn'], values: number[]): typeof leaf => ({
    ...leaf,
    weight: tensor4d(values, leaf.weight.shape),
    bias: zeros([leaf.weight.shape[3]]),
  });
  const quiet = (p: Vae['encoder']['midBlock']): typeof p => ({
    attention: undefined,
    resnets: p.resnets.map((r) => ({ ...r, conv2: flat(r.conv2, Array(36).fill(0)) })) as unknown as typeof p.resnets,
  });
  const { encoder } = vae;
  return {
    ...vae,
    encoder: {
      convIn: flat(encoder.convIn, centre([[1, -1]])),
      downBlocks: encoder.downBlocks.map(({ resnets }) => ({
        resnets: resnets.map((r) => ({ ...r, conv2: flat(r.conv2, Array(36).fill(0)) })),
      })),
      midBlock: quiet(encoder.midBlock),
      normOut: encoder.normOut,
      convOut: flat(
        encoder.convOut,
        centre([
          [1, 0],
          [0, 100],
        ]),
      ),
    },
    quantConv: undefined,
  };
}

describeOnBackends('vae, by hand', () => {
  it('encodes a pixel through norm, SiLU and the clamp of the log variance', async () => {
    // conv_in gives (x, -x) = (3, -3) at the only pixel; the blocks add 0; the norm of two opposite numbers is (1, -1);
    // SiLU makes it (0.731059, -0.268941); conv_out hands on the first, and 100 times the second, which is clamped.
    const { posterior } = vaeEncode(bare(), tensor4d([3], [1, 1, 1, 1]));
    await expectClose(posterior.mean, [0.7310586], { relative: 1e-5 });
    await expectClose(posterior.logVariance, [-26.89414], { relative: 1e-5 });
    // (-x) swaps the two: 100 * 0.731 = 73 is over the clamp of 20.
    const other = vaeEncode(bare(), tensor4d([-3], [1, 1, 1, 1])).posterior;
    await expectClose(other.mean, [-0.2689414], { relative: 1e-5 });
    await expectClose(other.logVariance, [20], { relative: 0 });
  });

  it('has the divergence of the textbook', async () => {
    // 0.5 (mean^2 + variance - 1 - log variance) of N(2, e): 0.5 (4 + e - 1 - 1) = 2.359141; of N(0, 1): 0.
    const of = (mean: number, logVariance: number) => ({
      mean: tensor4d([mean], [1, 1, 1, 1]),
      logVariance: tensor4d([logVariance], [1, 1, 1, 1]),
    });
    await expectClose(klDivergence(of(2, 1)), [2.3591409], { relative: 1e-6 });
    await expectClose(klDivergence(of(0, 0)), [0]);
    await expectClose(klDivergence(of(2, 1), of(2, 1)), [0], { relative: 1e-6 });
    await expectClose(sampleLatents(of(2, Math.log(9)), { noise: tensor4d([-1], [1, 1, 1, 1]) }), [-1], {
      relative: 1e-6,
    });
  });
});
