import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { expect, it } from 'vitest';
import { sinePositionEmbedding } from './position-embedding.ts';

describeOnBackends('sinePositionEmbedding', () => {
  it('tells the row in its first half and the column in its second, sine and cosine in turn', async () => {
    await expectNoLeaks(async () => {
      const embedding = sinePositionEmbedding(2, 3, 8);
      expect(embedding.shape).toEqual([1, 6, 8]);
      const values = await embedding.data();
      const turn = 2 * Math.PI;
      // Row 1 of 2, column 2 of 3, counted from 1: angles turn / 2 and turn * 2 / 3, at 1 and at 1 / 100 of them.
      const [row, column] = [turn / 2, (turn * 2) / 3];
      const expected = [row, column].flatMap((a) => [Math.sin(a), Math.cos(a), Math.sin(a / 100), Math.cos(a / 100)]);
      await expectClose(values.slice(8, 16), expected, { relative: 1e-5 });
      // The last pixel has gone the whole turn.
      await expectClose(values.slice(40, 42), [0, 1], { relative: 1e-5 });
      embedding.dispose();
    });
  });

  it('needs as many channels for rows as for columns, in pairs', () => {
    expect(() => sinePositionEmbedding(2, 2, 6)).toThrow(
      'sinePositionEmbedding: channels divide by 4; got 6; half are of rows, half of columns',
    );
  });
});
