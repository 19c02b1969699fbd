import { expectClose, type Golden, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { applyRecord } from './degrade.ts';
import {
  addNoise,
  blurKernel,
  type DegradationRecord,
  filter2d,
  jpeg,
  type KernelRecord,
  type NoiseRecord,
  type NoiseSource,
  type PlanarImage,
  type ResizeRecord,
  resize,
  sharpen,
} from './index.ts';

// Numbers are from 0 to 1: what is allowed is a fortieth of a level.
const within = { relative: 1e-4 };

function planar(golden: Golden, name: string): PlanarImage {
  const { shape, values } = golden.raw(name);
  return { width: shape[3], height: shape[2], data: values as Float32Array<ArrayBuffer> };
}

async function expectImage(golden: Golden, name: string, image: PlanarImage): Promise<void> {
  const expected = planar(golden, name);
  expect([image.width, image.height], `${name}: size`).toEqual([expected.width, expected.height]);
  await expectClose(image.data, expected.data, { ...within, label: name });
}

/** What basicsr has drawn, by its place: for a gray image a number a pixel. */
function drawn(golden: Golden, name: string): NoiseSource {
  const take = (count: number, seed: number): Float32Array => {
    const { values } = golden.raw(`${name}/${seed}`);
    expect(values.length).toBe(count);
    return values as Float32Array;
  };
  return { normals: take, counts: (levels, _, seed) => take(levels.length, seed) };
}

describe('against basicsr 1.4.2 and torch', () => {
  it('kernels', async () => {
    const golden = loadGolden('degradation/kernels');
    const records = golden.config.kernels as KernelRecord[];
    expect(new Set(records.map(({ kind }) => kind)).size).toBe(7);
    for (const [i, record] of records.entries()) {
      const { weights } = blurKernel(record);
      await expectClose(weights, golden.raw(`out/${i}`).values, { relative: 1e-6, label: JSON.stringify(record) });
    }
  });

  it('filter, on images smaller than what is reflected, too', async () => {
    const golden = loadGolden('degradation/filter');
    const kernels = (golden.config.kernels as KernelRecord[]).map(blurKernel);
    for (const name of golden.names('out/')) {
      const [image, kernel] = name.split('/');
      await expectImage(golden, `out/${name}`, filter2d(planar(golden, `in/${image}`), kernels[Number(kernel)]));
    }
  });

  it('sizes, by a factor and by a size, up and down', async () => {
    const golden = loadGolden('degradation/resize');
    for (const [i, record] of (golden.config.records as ResizeRecord[]).entries()) {
      await expectImage(golden, `out/${i}`, resize(planar(golden, 'in/image'), record));
    }
  });

  it('JPEG', async () => {
    const golden = loadGolden('degradation/jpeg');
    for (const name of golden.names('out/')) {
      const [image, quality] = name.split('/');
      const result = jpeg(planar(golden, `in/${image}`), golden.config.qualities[Number(quality)]);
      await expectImage(golden, `out/${name}`, result);
    }
  });

  it('noise, from the numbers that they drew', async () => {
    const golden = loadGolden('degradation/noise');
    for (const [i, { input, kind, strength, gray, clip, round }] of golden.config.cases.entries()) {
      const record = { kind, gray, seed: 0, sigma: strength, scale: strength } as NoiseRecord;
      const result = addNoise(planar(golden, `in/${input}`), record, { clip, round }, drawn(golden, `drawn/${i}`));
      await expectImage(golden, `out/${i}`, result);
    }
  });

  it('sharpening', async () => {
    const golden = loadGolden('degradation/sharpen');
    await expectImage(golden, 'out/image', sharpen(planar(golden, 'in/image')));
  });

  it.each([0, 1, 2])('a whole record: %d', async (i) => {
    const golden = loadGolden(`degradation/pipeline-${i}`);
    const record = golden.config.record as DegradationRecord;
    await expectImage(golden, 'out/image', applyRecord(planar(golden, 'in/image'), record, drawn(golden, 'drawn')));
  });
});
