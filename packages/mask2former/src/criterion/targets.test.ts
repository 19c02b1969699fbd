import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { dispose } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { segmentTargets, semanticTargets } from './targets.ts';

describeOnBackends('targets', () => {
  it('are one mask for each class that is there', async () => {
    await expectNoLeaks(async () => {
      const found = semanticTargets({ data: [2, 0, 255, 2, 0, 0], height: 2, width: 3 }, { classes: 3 });
      expect(found.classes).toEqual([0, 2]);
      expect(found.masks.shape).toEqual([2, 2, 3]);
      await expectClose(found.masks, [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0]);
      found.masks.dispose();
    });
  });

  it('are none for an image of ignored pixels', () => {
    const found = semanticTargets({ data: new Uint8Array(6).fill(255), height: 2, width: 3 }, { classes: 3 });
    expect(found.classes).toEqual([]);
    expect(found.masks.shape).toEqual([0, 2, 3]);
    dispose(found.masks);
  });

  it('are one mask for each segment, two of one class as well', async () => {
    const segments = [
      { id: 7, class: 1 },
      { id: 3, class: 1 },
      { id: 9, class: 0 },
    ];
    const found = segmentTargets({ data: [7, 3, 0, 7], height: 2, width: 2 }, segments, { classes: 2, ignore: 0 });
    expect(found.classes).toEqual([1, 1]);
    await expectClose(found.masks, [1, 0, 0, 1, 0, 1, 0, 0]);
    found.masks.dispose();
  });
});

it.each([
  [
    () => semanticTargets({ data: [0, 150], height: 1, width: 2 }, { classes: 150 }),
    'semanticTargets: labels are classes from 0 to 149, or 255 for ignored pixels; got 150 at row 0, column 1; map the labels first, as ADE20K from 1..150 to 0..149',
  ],
  [
    () => semanticTargets({ data: [0, 1, 0], height: 2, width: 2 }, { classes: 2 }),
    'semanticTargets: a label map has height x width labels, at least one; got 3 for 2 x 2; give each pixel one',
  ],
  [
    () => segmentTargets({ data: [1, 2], height: 2, width: 1 }, [{ id: 1, class: 0 }], { classes: 2 }),
    'segmentTargets: every pixel is of a listed segment, or 255 for ignored pixels; got 2 at row 1, column 0; list that segment',
  ],
  [
    () => segmentTargets({ data: [1], height: 1, width: 1 }, [{ id: 1, class: 2 }], { classes: 2 }),
    'segmentTargets: classes are from 0 to 1; got 2 of segment 1; correct the segments',
  ],
  [
    () =>
      segmentTargets(
        { data: [1], height: 1, width: 1 },
        [
          { id: 1, class: 0 },
          { id: 1, class: 1 },
        ],
        { classes: 2 },
      ),
    'segmentTargets: every segment has a number of its own; got 1 twice; give another one',
  ],
  [
    () => segmentTargets({ data: [255], height: 1, width: 1 }, [{ id: 255, class: 0 }], { classes: 2 }),
    'segmentTargets: every segment has a number of its own; got 255, which stands for ignored pixels; give another one',
  ],
])('says what is wrong with a label map: %#', (make, message) => {
  expect(make).toThrow(message);
});
