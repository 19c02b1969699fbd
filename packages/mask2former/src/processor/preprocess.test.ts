import { describeOnBackends, expectNoLeaks, loadGolden } from '@rass/testkit';
import { dispose, type Tensor3D, tensor3d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type Mask2FormerInputs, parseMask2FormerProcessorConfig, preprocess } from '../index.ts';
import { resizedSize } from './size.ts';

const disposeOf = ({ pixelValues, pixelMask, targets = [] }: Mask2FormerInputs): void =>
  dispose([pixelValues, pixelMask, ...targets.map(({ masks }) => masks)]);

function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(actual[i] - expected[i]));
  return largest;
}

/** [B, 3, H, W] as [B, H, W, 3]. */
function channelsLast(values: ArrayLike<number>, [B, C, H, W]: readonly number[]): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const [x, y, c, b] = [i % W, Math.floor(i / W) % H, Math.floor(i / (W * H)) % C, Math.floor(i / (W * H * C))];
    expect(b).toBeLessThan(B);
    out[((b * H + y) * W + x) * C + c] = values[i];
  }
  return out;
}

/** For each pixel which mask has it, from 1; 0 for none, and -1 where the batch is padded. */
async function maskIndex(masks: Tensor3D, inside: ArrayLike<number>): Promise<Int32Array> {
  const [N, H, W] = masks.shape;
  const values = await masks.data();
  return Int32Array.from({ length: H * W }, (_, i) => {
    const of = Array.from({ length: N }, (_, n) => n).filter((n) => values[n * H * W + i] === 1);
    expect(of.length).toBeLessThanOrEqual(inside[i]);
    return inside[i] === 0 ? -1 : (of[0] ?? -1) + 1;
  });
}

describeOnBackends("preprocess is transformers' with Pillow, to the last bit", () => {
  it.each(['edges', 'fixed', 'fitting', 'as-is', 'nearest'])('%s', async (name) => {
    const golden = loadGolden(`mask2former/inference-preprocess-${name}`);
    const config = parseMask2FormerProcessorConfig(golden.config.processor);
    const images = [0, 1].map((b) => {
      const { shape, values } = golden.raw(`in/image.${b}`);
      return { height: shape[0], width: shape[1], data: Uint8Array.from(values as Int32Array) };
    });
    const segmentationMaps = [0, 1].map((b) => {
      const { shape, values } = golden.raw(`in/labels.${b}`);
      return { height: shape[0], width: shape[1], data: values };
    });
    const instanceIdToSemanticId = golden.config.instances ?? undefined;
    const out = await preprocess(config, images, { segmentationMaps, instanceIdToSemanticId });

    const { values, shape } = golden.raw('out/pixel_values');
    expect(out.pixelValues.shape).toEqual([shape[0], shape[2], shape[3], shape[1]]);
    expect(difference(await out.pixelValues.data(), channelsLast(values, shape))).toBe(0);
    const inside = await out.pixelMask.data();
    expect(difference(inside, golden.raw('out/pixel_mask').values)).toBe(0);
    expect(out.originalSizes).toEqual(images.map(({ height, width }) => [height, width]));
    for (const [b, { classes, masks }] of (out.targets ?? []).entries()) {
      expect(classes).toEqual([...golden.raw(`out/classes.${b}`).values]);
      const [, H, W] = masks.shape;
      const own = inside.subarray(b * H * W, (b + 1) * H * W);
      expect(difference(await maskIndex(masks, own), golden.raw(`out/mask_index.${b}`).values)).toBe(0);
    }
    expect(out.targets).toHaveLength(2);
    disposeOf(out);
  });

  it('for tensors and images with alpha too, and leaves no tensor behind', async () => {
    const config = parseMask2FormerProcessorConfig({ size: { height: 3, width: 5 }, size_divisor: 0 });
    const rgb = Uint8Array.from({ length: 4 * 6 * 3 }, (_, i) => (i * 37) % 256);
    const rgba = Uint8ClampedArray.from({ length: 4 * 6 * 4 }, (_, i) =>
      i % 4 === 3 ? 9 : rgb[Math.floor(i / 4) * 3 + (i % 4)],
    );
    const tensor = tensor3d([...rgb], [4, 6, 3], 'int32');
    await expectNoLeaks(async () => {
      const out = await preprocess(config, [
        { height: 4, width: 6, data: rgb },
        { height: 4, width: 6, data: rgba },
        tensor,
      ]);
      const values = await out.pixelValues.data();
      expect(difference(values.subarray(45, 90), values.subarray(0, 45))).toBe(0);
      expect(difference(values.subarray(90), values.subarray(0, 45))).toBe(0);
      disposeOf(out);
    });
    tensor.dispose();
  });
});

it('finds the sizes that transformers finds', () => {
  const golden = loadGolden('mask2former/inference-preprocess-sizes');
  const expected = golden.raw('out/sizes').values;
  golden.config.sizes.forEach(
    ([image, shortestEdge, longestEdge, divisor]: [[number, number], number, number, number], i: number) => {
      expect(resizedSize(image, { shortestEdge, longestEdge }, divisor)).toEqual([...expected.slice(2 * i, 2 * i + 2)]);
    },
  );
});

/** Two levels become one: their mean, rounded up at a half. */
describeOnBackends('by hand', () => {
  it('resizes, scales, pads and takes labels apart', async () => {
    const config = parseMask2FormerProcessorConfig({
      size: { height: 1, width: 1 },
      size_divisor: 0,
      image_mean: 0,
      image_std: 0.5,
      pad_size: { height: 1, width: 2 },
      ignore_index: 255,
      do_reduce_labels: true,
    });
    const image = { height: 1, width: 2, data: Uint8Array.of(0, 10, 255, 1, 20, 255) };
    const segmentationMaps = [{ height: 1, width: 2, data: [0, 8] }];
    const out = await preprocess(config, [image], { segmentationMaps });
    const expected = [1, 15, 255].map((level) => Math.fround(level / 255) * 2);
    expect([...(await out.pixelValues.data())]).toEqual([...expected, 0, 0, 0]);
    expect([...(await out.pixelMask.data())]).toEqual([1, 0]);
    // The nearest to the middle is the second; label 8 is class 7.
    expect([out.originalSizes, out.imageSizes]).toEqual([[[1, 2]], [[1, 1]]]);
    expect(out.targets?.[0].classes).toEqual([7]);
    expect([...((await out.targets?.[0].masks.data()) ?? [])]).toEqual([1, 0]);
    disposeOf(out);
  });

  it('gives an image of ignored labels no mask', async () => {
    const config = parseMask2FormerProcessorConfig({ do_resize: false, ignore_index: 255 });
    const image = { height: 1, width: 1, data: Uint8Array.of(1, 2, 3) };
    const out = await preprocess(config, [image], { segmentationMaps: [{ height: 1, width: 1, data: [255] }] });
    expect(out.targets?.[0].classes).toEqual([]);
    expect(out.targets?.[0].masks.shape).toEqual([0, 1, 1]);
    disposeOf(out);
  });
});

describeOnBackends('preprocess says what is wrong', () => {
  const config = parseMask2FormerProcessorConfig({ do_resize: false });
  const image = { height: 2, width: 1, data: new Uint8Array(6) };
  const map = { height: 2, width: 1, data: [1, 2] };
  const fails = (action: Promise<unknown>, message: string) => expect(action).rejects.toThrow(message);

  it('with images', async () => {
    await fails(preprocess(config, []), 'preprocess: a batch has an image at least; got none; give one');
    await fails(
      preprocess(config, [image, { ...image, data: new Uint8Array(4) }]),
      'preprocess: an image has 3 or 4 channels, [H, W, C]; got 4 values for 2 x 1 for image 1; convert it to red, green and blue',
    );
    const grey = tensor3d([1, 2], [2, 1, 1]);
    const float = tensor3d([0.5, 0, 0], [1, 1, 3]);
    await fails(
      preprocess(config, [grey]),
      'preprocess: an image has 3 or 4 channels, [H, W, C]; got [2,1,1] for image 0; convert it to red, green and blue',
    );
    await fails(
      preprocess(config, [float]),
      'preprocess: levels are whole numbers from 0 to 255; got 0.5 in image 0; multiply an image of [0, 1] by 255 and round it',
    );
    dispose([grey, float]);
  });

  it('with sizes', async () => {
    const tiny = parseMask2FormerProcessorConfig({ size: { max_height: 1, max_width: 1 } });
    await fails(
      preprocess(tiny, [image]),
      'preprocess: a resized image has a pixel at least; got [1, 0] of [2,1]; crop it or give a larger size',
    );
    const padded = parseMask2FormerProcessorConfig({ do_resize: false, pad_size: { height: 1, width: 9 } });
    await fails(
      preprocess(padded, [image]),
      'preprocess: padSize holds every image; got [1, 9] for [2, 1]; give a larger one, or none',
    );
  });

  it('with label maps', async () => {
    await fails(
      preprocess(config, [image], { segmentationMaps: [map, map] }),
      'preprocess: every image has a label map; got 2 for 1; give one each, or none',
    );
    await fails(
      preprocess(config, [image], { segmentationMaps: [{ ...map, height: 1, width: 2 }] }),
      "preprocess: a label map has its image's size; got 2 labels, 1 x 2, for 2 x 1 in image 0; give the image's own map",
    );
    const reducing = parseMask2FormerProcessorConfig({ do_resize: false, do_reduce_labels: true });
    await fails(
      preprocess(reducing, [image], { segmentationMaps: [map] }),
      'preprocess: doReduceLabels goes with ignoreIndex, which label 0 becomes; got none; 255 is usual',
    );
    await fails(
      preprocess(config, [image], { segmentationMaps: [map], instanceIdToSemanticId: { 1: 5 } }),
      'preprocess: instanceIdToSemanticId has every instance of the map; got none for 2; list it, or ignore it by ignoreIndex',
    );
    await fails(
      preprocess(config, [image], { segmentationMaps: [map], instanceIdToSemanticId: [{}, {}] }),
      'preprocess: instanceIdToSemanticId is one list, or one for each image; got 2 for 1; give one for all',
    );
  });
});
