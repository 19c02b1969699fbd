import { expect, it } from 'vitest';
import { parseMask2FormerProcessorConfig } from '../index.ts';

it("has transformers' defaults", () => {
  expect(parseMask2FormerProcessorConfig({})).toEqual({
    doResize: true,
    size: { shortestEdge: 800, longestEdge: 1333 },
    sizeDivisor: 32,
    resample: 'bilinear',
    doRescale: true,
    rescaleFactor: 1 / 255,
    doNormalize: true,
    imageMean: [0.485, 0.456, 0.406],
    imageStd: [0.229, 0.224, 0.225],
    ignoreIndex: undefined,
    doReduceLabels: false,
    padSize: undefined,
  });
});

it('reads what checkpoints have', () => {
  const ade = parseMask2FormerProcessorConfig({
    _max_size: 2048,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    ignore_index: 255,
    image_mean: [0.48500001430511475, 0.4560000002384186, 0.4059999883174896],
    image_processor_type: 'Mask2FormerImageProcessor',
    image_std: [0.2290000021457672, 0.2239999920129776, 0.22499999403953552],
    num_labels: 150,
    reduce_labels: true,
    resample: 2,
    rescale_factor: 0.00392156862745098,
    size: { longest_edge: 2048, shortest_edge: 512 },
    size_divisor: 32,
  });
  expect(ade).toMatchObject({ doReduceLabels: true, ignoreIndex: 255, size: { shortestEdge: 512, longestEdge: 2048 } });
});

it('reads every way to say a size', () => {
  const sizeOf = (json: object) => parseMask2FormerProcessorConfig(json).size;
  expect(sizeOf({ size: 640, max_size: 2560 })).toEqual({ shortestEdge: 640, longestEdge: 2560 });
  expect(sizeOf({ max_size: 2560 })).toEqual({ shortestEdge: 800, longestEdge: 2560 });
  expect(sizeOf({ size: [3, 4] })).toEqual({ height: 3, width: 4 });
  expect(sizeOf({ size: { max_height: 3, max_width: 4, height: null } })).toEqual({ maxHeight: 3, maxWidth: 4 });
  const { padSize, imageStd } = parseMask2FormerProcessorConfig({ pad_size: 64, image_std: 1 });
  expect([padSize, imageStd]).toEqual([{ height: 64, width: 64 }, [1, 1, 1]]);
});

it.each([
  [null, 'a config is an object; got null; parse preprocessor_config.json with JSON.parse first'],
  [
    { size_divisr: 1 },
    'every field of the config is known; got "size_divisr"; closest: size_divisor, size; if it does not matter, leave it out',
  ],
  [
    { image_processor_type: 'CLIPImageProcessor' },
    'image_processor_type is Mask2FormerImageProcessor; got "CLIPImageProcessor"; give Mask2Former\'s preprocessor_config.json',
  ],
  [{ do_center_crop: true }, 'do_center_crop is not implemented; got true; Mask2Former does not crop'],
  [{ do_resize: 1 }, 'do_resize is true or false; got 1; correct preprocessor_config.json'],
  [{ size: 640 }, 'size, where one number, goes with max_size; got 640; give shortest_edge and longest_edge'],
  [
    { size: { shortest_edge: 3 } },
    'size has shortest_edge and longest_edge, max_height and max_width, or height and width; got {"shortest_edge":3}; correct preprocessor_config.json',
  ],
  [{ pad_size: { height: 3 } }, 'pad_size has height and width; got {"height":3}; correct preprocessor_config.json'],
  [{ size_divisor: -1 }, 'size_divisor is a whole number; got -1; correct preprocessor_config.json'],
  [{ image_std: [1, 0, 1] }, 'image_std is not 0; got [1,0,1]; correct preprocessor_config.json'],
  [
    { image_mean: [1, 2] },
    'image_mean is a number, or one for each of three channels; got [1,2]; correct preprocessor_config.json',
  ],
  [{ resample: 1 }, 'resample is 0, nearest, 2, bilinear, or 3, bicubic; got 1; other filters are not implemented'],
  [
    { reduce_labels: true, do_reduce_labels: false },
    'reduce_labels is the old name of do_reduce_labels; got [true,false]; leave it out',
  ],
])('says what is wrong with %j', (json, message) => {
  expect(() => parseMask2FormerProcessorConfig(json)).toThrow(`mask2Former processor: ${message}`);
});

it('lets unknown fields pass that are named', () => {
  expect(parseMask2FormerProcessorConfig({ own: 1 }, { ignore: ['own'] })).toEqual(parseMask2FormerProcessorConfig({}));
});
