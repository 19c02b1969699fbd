import { loadGolden } from '@rass/testkit';
import { expect, it } from 'vitest';
import { parseUnetConfig } from './config.ts';
import { attentionNames, levelSize, tapNames } from './names.ts';

const nameOf = ({ name }: { name: string }): string => name;

it.each(['sd1-7x5', 'sd2-4x8', 'variant-depths', 'variant-no-middle', 'variant-class-table'])(
  "lists taps and attentions in diffusers' order of running, with their sizes: %s",
  (name) => {
    const golden = loadGolden(`unet/${name}`);
    const config = parseUnetConfig(golden.config.unet ?? loadGolden(`unet/${name.slice(0, 3)}`).config);
    const latents = golden.raw('in/sample').shape.slice(2) as [number, number];
    const taps = tapNames(config);
    const attentions = attentionNames(config, { self: true });
    if (golden.config.order) {
      const order: string[] = golden.config.order;
      expect(taps.map(nameOf)).toEqual(order.filter((n) => !n.includes('attn')));
      expect(attentions.map(nameOf)).toEqual(order.filter((n) => n.includes('attn')));
    }
    expect(taps.map(nameOf).sort()).toEqual(golden.names('taps/').sort());
    for (const { name: tap, channels, level } of taps) {
      const [, c, ...size] = golden.raw(`taps/${tap}`).shape;
      expect([c, ...size], tap).toEqual([channels, ...levelSize(config, level, latents)]);
    }
    for (const { name: attention, heads, kind, level } of attentions) {
      const [h, w] = levelSize(config, level, latents);
      const tokens = kind === 'cross' ? golden.raw('in/text').shape[1] : h * w;
      if (!golden.has(`attention/${attention}`)) continue;
      expect(golden.raw(`attention/${attention}`).shape, attention).toEqual([2, heads, h * w, tokens]);
    }
  },
);

it("finds Stable Diffusion 2's sixteen cross-attentions", () => {
  const config = parseUnetConfig({
    attention_head_dim: [5, 10, 20, 20],
    cross_attention_dim: 1024,
    use_linear_projection: true,
  });
  const cross = attentionNames(config);
  expect(cross.length).toBe(16);
  expect(attentionNames(config, { cross: false, self: true }).length).toBe(16);
  const up = cross.filter(({ place }) => place === 'up');
  expect(up.map(({ level, heads }) => [levelSize(config, level, [64, 64])[0], heads])).toEqual([
    ...Array(3).fill([16, 20]),
    ...Array(3).fill([32, 10]),
    ...Array(3).fill([64, 5]),
  ]);
  expect(cross.find(({ place }) => place === 'mid')).toEqual({
    name: 'mid_block.attentions.0.transformer_blocks.0.attn2',
    place: 'mid',
    kind: 'cross',
    level: 3,
    heads: 20,
  });
  // What comes out of the four blocks of the way up, at strides 32, 16, 8 and 8 of a 512-pixel image.
  const blocks = tapNames(config).filter(({ name }) => /^up_blocks\.\d$/.test(name));
  expect(blocks.map(({ level, channels }) => [level, channels])).toEqual([
    [2, 1280],
    [1, 1280],
    [0, 640],
    [0, 320],
  ]);
});

it('halves odd sizes up, or down where the padding is one-sided', () => {
  expect(levelSize(parseUnetConfig({}), 3, [7, 64])).toEqual([1, 8]);
  expect(levelSize(parseUnetConfig({}), 1, [7, 9])).toEqual([4, 5]);
  expect(levelSize(parseUnetConfig({ downsample_padding: 0 }), 1, [7, 9])).toEqual([3, 4]);
});
