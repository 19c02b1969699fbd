import { afterEach, expect, it, vi } from 'vitest';
import { sendable } from './sources.ts';

afterEach(() => vi.restoreAllMocks());

it.each([3, 4])(
  'copies pixels of %i channels at once, since the next frame may be written over them',
  async (channels) => {
    // A machine on which everything takes longer than there is time for.
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => {
      now += 6;
      return now;
    });
    const [width, height] = [1024, 1024];
    const data = new Uint8Array(channels * width * height).fill(1);
    const sending = sendable({ width, height, data });
    data.fill(2);
    const { image, transfer } = await sending;
    const sent = 'rgba' in image ? image.rgba : (image as { data: Uint8Array }).data;
    expect(sent.length).toBe(data.length);
    expect(sent.every((value) => value === 1)).toBe(true);
    expect(transfer).toEqual([sent.buffer]);
  },
);

it('sends alpha with the colours, a copy too', async () => {
  const alpha = Uint8Array.of(0, 255);
  const { image, transfer } = await sendable({ width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6), alpha });
  expect(image).toEqual({ width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6), alpha: Uint8Array.of(0, 255) });
  expect(transfer).toHaveLength(2);
  expect(transfer).not.toContain(alpha.buffer);
});
