import { describeOnBackends, expectClose, expectNoLeaks, expectNoLeaksOnFaults, randomValues } from '@rass/testkit';
import { dispose, mul, ones, type Tensor4D, tensor, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { tiledLatents, tiledLatentsAsync } from './tiles.ts';

const latents = (h: number, w: number): Tensor4D =>
  tensor(randomValues(2 * h * w * 3, { seed: 1 }), [2, h, w, 3]) as Tensor4D;

describeOnBackends('tiledLatents', () => {
  it('adds up to what a pointwise function makes of the whole', async () => {
    const whole = latents(23, 37);
    await expectNoLeaks(async () => {
      const seen: string[] = [];
      const run = (tile: Tensor4D): Tensor4D => {
        seen.push(`${tile.shape[1]}x${tile.shape[2]}`);
        return mul(tile, tile);
      };
      const found = tiledLatents(whole, run, { size: 16, overlap: 6 });
      expect(seen).toEqual(Array(8).fill('16x16'));
      const squared = mul(whole, whole);
      await expectClose(found, squared, { relative: 1e-4 });
      dispose([found, squared]);
    });
    whole.dispose();
  });

  it('does the same with pauses, and leaves nothing behind when it is stopped', async () => {
    const whole = latents(23, 37);
    const square = (tile: Tensor4D): Tensor4D => mul(tile, tile);
    const tiling = { size: 16, overlap: 6 };
    await expectNoLeaks(async () => {
      const told: number[][] = [];
      const atOnce = tiledLatents(whole, square, tiling);
      const slowly = await tiledLatentsAsync(whole, square, {
        ...tiling,
        onTile: ({ done, tiles }) => told.push([done, tiles]),
      });
      expect(Array.from(await slowly.data())).toEqual(Array.from(await atOnce.data()));
      expect(told).toEqual(Array.from({ length: 8 }, (_, i) => [i + 1, 8]));
      dispose([atOnce, slowly]);
      const controller = new AbortController();
      const onTile = ({ done }: { done: number }) => done === 2 && controller.abort(new Error('enough'));
      await expect(tiledLatentsAsync(whole, square, { ...tiling, onTile, signal: controller.signal })).rejects.toThrow(
        'enough',
      );
      const failing = (tile: Tensor4D): Tensor4D => {
        if (controller.signal.aborted) throw new Error('broken');
        return tile;
      };
      expect(() => tiledLatents(whole, failing, tiling)).toThrow('broken');
    });
    whole.dispose();
  });

  it('leaves nothing behind where a kernel fails or values cannot be read', async () => {
    const whole = latents(23, 37);
    for (const size of [16, 40]) {
      await expectNoLeaksOnFaults(async () => {
        const found = await tiledLatentsAsync(whole, (tile) => mul(tile, tile), { size, overlap: 6 });
        found.dispose();
      });
    }
    whole.dispose();
  });

  it('lets tiles count most in their middle', async () => {
    const whole = latents(16, 24);
    let count = 0;
    const found = tiledLatents(whole, ({ shape }) => (count++ === 0 ? zeros(shape) : ones(shape)), {
      size: 16,
      overlap: 8,
    });
    const [row] = (await found.array()) as number[][][][];
    const line = row![0]!.map(([value]) => value!);
    expect(line.slice(0, 8)).toEqual(Array(8).fill(0));
    expect(line.slice(16)).toEqual(Array(8).fill(1));
    for (let i = 9; i < 16; i++) expect(line[i]!).toBeGreaterThan(line[i - 1]!);
    expect(line[11]! + line[12]!).toBeCloseTo(1, 4);
    dispose([whole, found]);
  });

  it('runs what fits into a tile as it is, and says what is wrong', () => {
    const whole = latents(8, 16);
    expect(tiledLatents(whole, (tile) => tile, { size: 16, overlap: 4 })).toBe(whole);
    expect(() => tiledLatents(whole, (tile) => tile, { size: 8, overlap: 8 })).toThrow(
      'tiledLatents: size and overlap are whole numbers, the overlap from 0 and below the size; got 8 and 8; 96 and 32 are usual',
    );
    whole.dispose();
  });
});
