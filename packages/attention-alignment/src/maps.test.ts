import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose, ones, type Tensor3D, tensor3d, tensor4d, zeros } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  type AlignmentInputs,
  type AlignmentOptions,
  alignmentConfig,
  alignmentLoss,
  amongWords,
  attentionIou,
  chooseMaps,
  grid,
  heatMap,
  joinMaps,
  labelPicture,
  levelMasks,
  levelOf,
  normalizeMaps,
  overlay,
  presentClasses,
  readMaps,
  segmentByAttention,
  tagMaps,
  tagValues,
  thresholdIou,
  warmUp,
} from './index.ts';

const NAMES = [
  'down_blocks.0.attentions.0.transformer_blocks.0.attn2',
  'mid_block.attentions.0.transformer_blocks.0.attn2',
  'up_blocks.1.attentions.0.transformer_blocks.0.attn2',
  'up_blocks.2.attentions.1.transformer_blocks.0.attn2',
];
const [DOWN, MID, UP1, UP2] = NAMES;
const tag = (name: string, ...positions: number[]) => ({ tag: name, positions });

describe('maps', () => {
  it('are chosen by place and by block', () => {
    expect(chooseMaps(NAMES)).toEqual(NAMES);
    expect(chooseMaps(NAMES, { places: ['up'] })).toEqual([UP1, UP2]);
    expect(chooseMaps(NAMES, { places: ['mid', 'down'] })).toEqual([DOWN, MID]);
    expect(chooseMaps(NAMES, { blocks: ['up_blocks.2'] })).toEqual([UP2]);
    expect(chooseMaps(NAMES, { blocks: ['up_blocks.2.attentions.1', 'mid_block'] })).toEqual([MID, UP2]);
  });

  it('know their size from the latents, square or not, odd or even', () => {
    expect(levelOf(64 * 64, [64, 64])).toEqual({ level: 0, size: [64, 64] });
    expect(levelOf(4 * 3, [7, 5])).toEqual({ level: 1, size: [4, 3] });
    expect(levelOf(2 * 2, [7, 5])).toEqual({ level: 2, size: [2, 2] });
  });
});

describeOnBackends('maps of tags', () => {
  it('are joined over tokens, heads and layers of a size', async () => {
    // Two heads, two pixels, four tokens.
    const first = tensor4d([0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1, 0.3, 0.2, 0.1, 0.4, 0, 0, 1, 0], [1, 2, 2, 4]);
    const second = zeros([1, 2, 2, 4]) as typeof first;
    const tags = [[tag('a', 1, 2), tag('b', 3)]];
    await expectNoLeaks(async () => {
      const run = async (options?: Parameters<typeof tagMaps>[3]) => {
        const [{ maps, size }] = tagMaps({ [UP1]: first, [UP2]: second }, tags, [1, 2], options);
        expect(size).toEqual([1, 2]);
        const values = [...(await maps.data())];
        maps.dispose();
        return values;
      };
      // Pixel 0: tags 0.5 and 0.3 in the heads, mean 0.4, with the other layer 0.2; pixel 1: 0.5 and 1.
      await expectClose(await run(), [0.2, 0.2, 0.375, 0.025]);
      await expectClose(await run({ subtoken: 'mean' }), [0.1, 0.2, 0.1875, 0.025]);
      await expectClose(await run({ heads: 'sum' }), [0.4, 0.4, 0.75, 0.05]);
      await expectClose(await run({ heads: 'max' }), [0.25, 0.2, 0.65, 0.05]);
      await expectClose(await run({ onlyHeads: [1] }), [0.15, 0.2, 0.5, 0]);
    });
    dispose([first, second]);
  });

  it('are normalised among the tags, by the largest, or sharply', async () => {
    const maps = tensor3d([0.1, 0.3, 0.2, 0], [1, 2, 2]);
    const present = ones([1, 1, 2]) as Tensor3D;
    await expectClose(normalizeMaps({ maps, present }, 'tags'), [0.25, 0.75, 1, 0], { relative: 1e-5 });
    await expectClose(normalizeMaps({ maps, present }, 'max'), [0.5, 1, 1, 0], { relative: 1e-5 });
    await expectClose(normalizeMaps({ maps, present }, 'none'), [0.1, 0.3, 0.2, 0]);
    await expectClose(normalizeMaps({ maps, present }, 'softmax100'), [0, 1, 1, 0], { relative: 1e-6 });
    await expectClose(normalizeMaps({ maps, present: tensor3d([1, 0], [1, 1, 2]) }, 'softmax100'), [1, 0, 1, 0], {
      relative: 1e-6,
    });
  });

  it('are shared among the words alone', async () => {
    const map = tensor4d([0.6, 0.1, 0.1, 0.2, 0.5, 0.2, 0.2, 0.1], [2, 1, 1, 4]);
    await expectClose(amongWords(map, [2, 1]), [0, 0.5, 0.5, 0, 0, 1, 0, 0], { relative: 1e-4 });
    const message =
      'attention-alignment: each of 2 samples has from 1 to 3 words; got [2,4]; count the tokens between the markers';
    expect(() => amongWords(map, [2, 4])).toThrow(message);
    expect(() => amongWords(map, [2])).toThrow('each of 2 samples has from 1 to 3 words; got [2]');
    map.dispose();
  });

  it('of several sizes become one', async () => {
    const fine = { level: 0, size: [2, 2] as const, maps: tensor3d([1, 2, 3, 4], [1, 4, 1]) };
    const coarse = { level: 1, size: [1, 1] as const, maps: tensor3d([6], [1, 1, 1]) };
    const { maps, size } = joinMaps([fine, coarse]);
    expect(size).toEqual([2, 2]);
    await expectClose(maps, [3.5, 4, 4.5, 5]);
    const [sample] = await readMaps({ maps, size }, [['a']]);
    expect(sample.tags).toBe(1);
    expect([...tagValues(sample, 0)]).toEqual([3.5, 4, 4.5, 5]);
    await expect(readMaps({ maps, size }, [])).rejects.toThrow(
      'attention-alignment: each sample has tags; got 0 lists for 1 samples; give one each',
    );
    const large = joinMaps([fine, coarse], { size: [4, 4], method: 'bilinear' });
    expect(large.maps.shape).toEqual([1, 16, 1]);
    expect(() => joinMaps([])).toThrow(
      'attention-alignment: maps of at least one size are joined; got none; call tagMaps first',
    );
    dispose([fine.maps, coarse.maps, maps, large.maps]);
  });
});

describe('scores', () => {
  // 2 x 2 cells; tag 0 has the upper row, tag 1 the lower left; nobody much of the lower right.
  const maps = { size: [2, 2] as const, values: [0.9, 0.1, 0.8, 0.1, 0.1, 0.9, 0.11, 0.1], tags: 2 };
  const labels = { size: [2, 2] as const, labels: [5, 5, 9, 255] };

  it('name each pixel by the tag that has most of it', () => {
    expect(Array.from(segmentByAttention(maps, [5, 9], [2, 2]).labels)).toEqual([5, 5, 9, 5]);
  });

  it('are intersection over union, without ignored pixels', () => {
    expect(attentionIou(maps, [5, 9], labels)).toEqual({ perClass: { 5: 1, 9: 1 }, mean: 1 });
    const whole = attentionIou(maps, [5, 9], { size: [2, 2], labels: [5, 5, 9, 9] });
    expect(whole).toEqual({ perClass: { 5: 2 / 3, 9: 1 / 2 }, mean: (2 / 3 + 1 / 2) / 2 });
    expect(attentionIou(maps, [5, 9], { size: [2, 2], labels: [255, 255, 255, 255] })).toEqual({
      perClass: {},
      mean: Number.NaN,
    });
    // Two names of one class count together; a class that neither has anywhere does not count.
    expect(attentionIou(maps, [5, 5], { size: [2, 2], labels: [5, 5, 5, 5] })).toEqual({ perClass: { 5: 1 }, mean: 1 });
    const three = { ...maps, values: [0.9, 0.1, 0, 0.8, 0.1, 0, 0.1, 0.9, 0, 0.11, 0.1, 0], tags: 3 };
    expect(attentionIou(three, [5, 9, 3], labels)).toEqual({ perClass: { 5: 1, 9: 1 }, mean: 1 });
    expect(thresholdIou(three, [5, 9, 3], { size: [2, 2], labels: [5, 5, 3, 3] }).perClass[3]).toBe(0);
  });

  it('look at each tag by itself too', () => {
    expect(thresholdIou(maps, [5, 9], labels, { threshold: 0.5 })).toEqual({ perClass: { 5: 1, 9: 1 }, mean: 1 });
    expect(thresholdIou(maps, [5, 9], labels, { threshold: 0.95 }).perClass[5]).toBe(0.5);
  });
});

describe('pictures', () => {
  it('show maps in colours, over a photograph, side by side', () => {
    const heat = heatMap([0, 1], [1, 2]);
    expect([heat.width, heat.height, ...heat.data]).toEqual([2, 1, 0, 0, 4, 255, 252, 255, 164, 255]);
    const large = heatMap([0, 1], [1, 2], { size: [2, 4], smooth: 'none' });
    expect([...large.data.subarray(0, 16)]).toEqual([
      0, 0, 4, 255, 0, 0, 4, 255, 252, 255, 164, 255, 252, 255, 164, 255,
    ]);
    const grey = { width: 2, height: 1, data: new Uint8ClampedArray(8).fill(100) };
    expect([...overlay(grey, heat, 0.5).data]).toEqual([50, 50, 52, 100, 176, 178, 132, 100]);
    const both = grid([heat, grey, heat], { columns: 2, gap: 1 });
    expect([both.width, both.height]).toEqual([5, 3]);
    expect([...both.data.subarray(8, 16)]).toEqual([255, 255, 255, 255, 100, 100, 100, 100]);
    const [first, second] = [0, 1].map((label) => [...labelPicture({ size: [1, 1], labels: [label] }).data]);
    expect(first).not.toEqual(second);
    expect([...labelPicture({ size: [1, 1], labels: [255] }).data]).toEqual([0, 0, 0, 255]);
  });

  it('of other sizes are refused', () => {
    const heat = heatMap([0, 1], [1, 2]);
    expect(() => heatMap([0, 1, 2], [1, 2])).toThrow(
      'attention-alignment: a map has its rows x columns, 1 x 2; got 3 values; give the size of the map',
    );
    const other = heatMap([0, 1], [2, 1]);
    expect(() => overlay(heat, other)).toThrow(
      'attention-alignment: pictures that are laid over each other have one size; got 2 x 1 and 1 x 2; make the heat map with { size: [1, 2] }',
    );
    expect(() => grid([heat, other], { columns: 2 })).toThrow(
      'attention-alignment: a grid is of pictures of one size; got 2 x 1 and 1 x 2; resize them first',
    );
    expect(() => grid([], { columns: 2 })).toThrow('a grid is of pictures of one size; got none');
  });
});

it('warms up in a straight line', () => {
  expect([0, 249, 499, 1000].map((step) => warmUp(step, 500))).toEqual([1 / 500, 0.5, 1, 1]);
  expect(warmUp(0, 0)).toBe(1);
});

it('lists the classes of a label map, the largest first', () => {
  expect(presentClasses({ size: [1, 6], labels: [3, 255, 3, 7, 1, 1] })).toEqual([1, 3, 7]);
});

describeOnBackends('what is wrong', () => {
  const good = (): AlignmentInputs => ({
    probabilities: { [UP1]: ones([1, 1, 4, 3]) },
    latents: [2, 2],
    tags: [[tag('a', 1)]],
    classes: [[0]],
    labels: [{ size: [2, 2], labels: [0, 0, 1, 255] }],
  });
  const cases = (): [string, Partial<AlignmentInputs>, AlignmentOptions & Record<string, unknown>, string][] => [
    [
      'a kind',
      {},
      { kind: 'are' as never },
      'attention-alignment: kind is one of area+ce, area, token+pixel, bce, mse_max, balanced_l1, dice; got "are"; closest: area',
    ],
    ['an option', {}, { wight: 1 }, 'attention-alignment: options have known names; got "wight"; closest: weight'],
    [
      'a value',
      {},
      { minCells: -1 },
      'attention-alignment: minCells: Invalid value: Expected >=0 but received -1; got -1; see AlignmentConfig',
    ],
    [
      'no maps',
      {},
      { places: ['mid'] },
      'attention-alignment: at least one map is chosen; got none of 1 by places [mid] and blocks []; choose others',
    ],
    [
      'a block',
      {},
      { blocks: ['up_blocks.3'] },
      'attention-alignment: each block has attentions; got "up_blocks.3"; closest: up_blocks.1, up_blocks',
    ],
    [
      'a head',
      {},
      { onlyHeads: [1] },
      'attention-alignment: heads are numbered from 0 to 0, and at least one is chosen; got [1]; layers differ in their heads: choose blocks too',
    ],
    [
      'a level',
      {},
      { levels: [1] },
      'attention-alignment: each level has maps; got level 1, of 0; choose among these, or ask unet() for more attentions',
    ],
    [
      'a name',
      { probabilities: { attn: ones([1, 1, 4, 3]) } },
      {},
      'attention-alignment: attentions are named as in the UNet, down_blocks..., mid_block... or up_blocks...; got "attn"; see attentionNames of @rass/unet',
    ],
    [
      'a position',
      { tags: [[tag('a', 3)]] },
      {},
      'attention-alignment: positions are from 0 to 2; got 3 for "a"; the prompt was cut, or is another',
    ],
    [
      'a tag without a token',
      { tags: [[tag('a')]] },
      {},
      'attention-alignment: each tag has a token; got none for "a"; look at the prompt',
    ],
    [
      'a size',
      { latents: [5, 3] },
      {},
      'attention-alignment: a map has the pixels of the latents, halved some times; got 4 for latents of 5 x 3;',
    ],
    [
      'samples',
      { tags: [[], []], classes: [[], []], labels: [good().labels[0], good().labels[0]] },
      {},
      'attention-alignment: a map is [2, heads, pixels, 3], for tags of 2 samples; got [1,1,4,3]',
    ],
    [
      'prompts of two lengths',
      { probabilities: { [UP1]: ones([1, 1, 4, 3]), [UP2]: ones([1, 1, 4, 5]) } },
      {},
      `attention-alignment: a map is [1, heads, pixels, 3], for tags of 1 samples; got [1,1,4,5] for ${UP2}; give tags for each sample, and attentions of one forward pass`,
    ],
    [
      'maps of another rank',
      { probabilities: { [UP1]: ones([1, 4, 3]) as never } },
      {},
      'attention-alignment: a map is [1, heads, pixels, tokens], for tags of 1 samples; got [1,4,3]',
    ],
    [
      'an entropy that is not there',
      {},
      { kind: 'dice', minusEntropy: true },
      'attention-alignment: minusEntropy goes with a cross-entropy; got kind "dice"; leave it out, or choose area+ce or bce',
    ],
    [
      'heads that are apart already',
      {},
      { kind: 'token+pixel', perHead: true },
      'attention-alignment: token+pixel says itself where heads are apart; got perHead; leave it out, or choose another kind',
    ],
    [
      'label maps',
      { labels: [] },
      {},
      'attention-alignment: each sample has tags, classes and a label map; got 1, 1 and 0; give one of each',
    ],
    [
      'classes',
      { classes: [[0, 1]] },
      {},
      'attention-alignment: each tag has a class; got 1 tags and 2 classes in sample 0; give them in one order',
    ],
    [
      'a label',
      { labels: [{ size: [2, 2], labels: [0, -1, 0, 0] }] },
      {},
      'attention-alignment: labels are whole numbers from 0 up; got -1 at 1 of sample 0; look at the label map',
    ],
    [
      'a label map of another size',
      { labels: [{ size: [2, 3], labels: [0, 0, 0, 0] }] },
      {},
      'attention-alignment: a label map has its rows x columns, 2 x 3; got 4 labels in sample 0; give the size of the map',
    ],
  ];

  it('is named: kinds, options, maps, positions, sizes, classes and labels', () => {
    for (const [what, change, options, message] of cases()) {
      expect(() => alignmentLoss({ ...good(), ...change }, options), what).toThrow(message);
    }
  });

  it('labels beyond the classes, and maps of none, are named', () => {
    expect(() => levelMasks([{ size: [1, 1], labels: [150] }], [[0]], [1, 1], { classes: 150 })).toThrow(
      'attention-alignment: labels are whole numbers from 0 to 149, or 255; got 150 at 0 of sample 0',
    );
    expect(() => tagMaps({}, [[]], [1, 1])).toThrow(
      'attention-alignment: at least one attention is given; got none; ask unet() for them by name',
    );
    expect(() => attentionIou({ size: [1, 1], values: [1], tags: 1 }, [], { size: [1, 1], labels: [0] })).toThrow(
      'each tag has a class; got 1 tags and 0 classes',
    );
  });
}, ['cpu']);

it('has defaults by kind', () => {
  expect(alignmentConfig()).toMatchObject({
    kind: 'area+ce',
    weight: 1,
    areaWeight: 1,
    pixelWeight: 0.1,
    norm: 'tags',
    places: ['up'],
  });
  expect(alignmentConfig({ kind: 'mse_max', weight: 2 })).toMatchObject({
    weight: 2,
    norm: 'max',
    maskResize: 'nearest',
  });
});
