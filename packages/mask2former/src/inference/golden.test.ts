import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  postProcessInstanceSegmentation,
  postProcessPanopticSegmentation,
  postProcessSemanticSegmentation,
} from '../index.ts';
import { expectSameMap, expectSegments, loadCase, mapOf } from './golden.test-support.ts';
import type { TargetSize } from './segmentation.ts';

const GRID: TargetSize = [384, 384];

/** Every `step`th row and column of each class. */
function thinned(scores: Float32Array, classes: number, [height, width]: TargetSize, step: number): number[] {
  const values: number[] = [];
  for (let v = 0; v < classes; v++)
    for (let y = 0; y < height; y += step)
      for (let x = 0; x < width; x += step) values.push(scores[(v * height + y) * width + x]);
  return values;
}

describeOnBackends("semantic segmentation is transformers'", () => {
  const { golden, outputs } = loadCase('inference-semantic');
  it.each(['grid', 'small', 'large'])('%s', async (name) => {
    const given = outputs();
    const targetSizes: TargetSize[] | undefined = golden.config.sizes[name] ?? undefined;
    const results = await postProcessSemanticSegmentation(given, { targetSizes, returnSegmentationScores: true });
    expect(results).toHaveLength(2);
    for (const [b, { segmentation, segmentationScores }] of results.entries()) {
      const size = targetSizes?.[b] ?? GRID;
      expect([segmentation.height, segmentation.width]).toEqual(size);
      expectSameMap(segmentation.data, mapOf(golden, `${name}.${b}`), `${name}, image ${b}`);
      const scores = thinned(segmentationScores as Float32Array, 5, size, name === 'small' ? 1 : 16);
      await expectClose(scores, golden.raw(`out/${name}.${b}.scores`).values, { relative: 1e-5 });
    }
    dispose(Object.values(given));
  });
});

describeOnBackends("semantic segmentation is detectron2's, with the sizes that it uses", () => {
  it('of padded images', async () => {
    const { golden, outputs } = loadCase('inference-detectron2');
    const given = outputs();
    const { input: maskSize, images: imageSizes, pictures: targetSizes } = golden.config;
    const options = { maskSize, imageSizes, targetSizes, returnSegmentationScores: true };
    const results = await postProcessSemanticSegmentation(given, options);
    expect(results).toHaveLength(2);
    for (const [b, { segmentation, segmentationScores }] of results.entries()) {
      expectSameMap(segmentation.data, mapOf(golden, `${b}`), `image ${b}`);
      const { values } = golden.raw(`out/${b}.scores`);
      await expectClose(segmentationScores as Float32Array, values, { relative: 1e-5 });
    }
    dispose(Object.values(given));
  });
});

describeOnBackends("panoptic segmentation is transformers'", () => {
  const { golden, outputs } = loadCase('inference-panoptic');
  it.each(Object.keys(golden.config))('%s', async (name) => {
    const given = outputs();
    const { options: o, segments } = golden.config[name];
    const results = await postProcessPanopticSegmentation(given, {
      threshold: o.threshold,
      maskThreshold: o.mask_threshold,
      overlapMaskAreaThreshold: o.overlap_mask_area_threshold,
      labelIdsToFuse: o.label_ids_to_fuse,
      targetSizes: o.target_sizes,
    });
    expect(results).toHaveLength(3);
    for (const [b, result] of results.entries()) {
      expectSegments(result.segmentsInfo, segments[b], `${name}, image ${b}`);
      expectSameMap(result.segmentation.data, mapOf(golden, `${name}.${b}`), `${name}, image ${b}`);
    }
    dispose(Object.values(given));
  });

  it('with ids of their own, where transformers gives one twice', async () => {
    const given = outputs();
    const { options, segments } = golden.config.fused;
    const [{ segmentation, segmentsInfo }] = await postProcessPanopticSegmentation(given, {
      labelIdsToFuse: options.label_ids_to_fuse,
      targetSizes: options.target_sizes,
      distinctIds: true,
    });
    const pairs = (infos: { id: number; labelId: number }[]) => infos.map(({ id, labelId }) => [id, labelId]);
    expect(segments[0].map((s: { id: number; label_id: number }) => [s.id, s.label_id])).toEqual([
      [1, 0],
      [2, 1],
      [1, 0],
      [2, 2],
      [2, 2],
    ]);
    expect(pairs([...segmentsInfo])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ]);
    const best = (label: number) =>
      Math.max(
        ...segments[0].filter((s: { label_id: number }) => s.label_id === label).map((s: { score: number }) => s.score),
      );
    for (const { score, labelId } of segmentsInfo) expect(score).toBeCloseTo(best(labelId), 5);
    // Only the pixels of the second number are divided anew.
    const theirs = mapOf(golden, 'fused.0');
    expect(new Set(segmentation.data)).toEqual(new Set([0, 1, 2, 3]));
    expectSameMap(
      segmentation.data.map((id) => Math.min(id, 2)),
      theirs,
      'joined',
    );
    dispose(Object.values(given));
  });
});

describeOnBackends("instance segmentation is transformers'", () => {
  const { golden, outputs } = loadCase('inference-instance');
  it.each(Object.keys(golden.config).filter((name) => name !== 'runs'))('%s', async (name) => {
    const given = outputs();
    const { options: o, segments } = golden.config[name];
    const options = { threshold: o.threshold, targetSizes: o.target_sizes, returnBinaryMaps: o.return_binary_maps };
    const results = await postProcessInstanceSegmentation(given, options);
    expect(results).toHaveLength(3);
    for (const [b, { segmentation, segmentsInfo, binaryMaps }] of results.entries()) {
      expectSegments(segmentsInfo, segments[b], `${name}, image ${b}`);
      const expected = mapOf(golden, `${name}.${b}`);
      // transformers gives the maps instead of the map, and the map where there are none.
      const stacked = o.return_binary_maps && segmentsInfo.length > 0;
      if (stacked) expectSameMap(binaryMaps?.flatMap((map) => [...map]) ?? [], expected, `${name}, image ${b}`);
      else expectSameMap(segmentation.data, expected, `${name}, image ${b}`);
    }
    dispose(Object.values(given));
  });

  it('run lengths', async () => {
    const given = outputs();
    const { options, segments, runs } = golden.config.runs;
    const results = await postProcessInstanceSegmentation(given, {
      targetSizes: options.target_sizes,
      returnCocoAnnotation: true,
    });
    results.forEach((result, b) => {
      expectSegments(result.segmentsInfo, segments[b], `image ${b}`);
      expect(result.runLengths).toEqual(runs[b]);
    });
    dispose(Object.values(given));
  });
});

describeOnBackends('inference', () => {
  const { outputs } = loadCase('inference-semantic');
  const size: TargetSize = [40, 50];
  it('leaves no tensor behind', async () => {
    const given = outputs();
    await expectNoLeaks(() => postProcessSemanticSegmentation(given, { targetSizes: [size, size] }));
    await expectNoLeaks(() => postProcessPanopticSegmentation(given, { targetSizes: [size, size] }));
    await expectNoLeaks(() => postProcessInstanceSegmentation(given, { targetSizes: [size, size] }));
    dispose(Object.values(given));
  });
});
