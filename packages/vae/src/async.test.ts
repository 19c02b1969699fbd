import { randomParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, expectNoLeaksOnFaults, randomValues } from '@rass/testkit';
import { dispose, keep, type Tensor4D, tensor4d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type Progress,
  parseVaeConfig,
  type VaeAsyncOptions,
  vaeDecode,
  vaeDecodeAsync,
  vaeEncode,
  vaeEncodeAsync,
  vaeParams,
} from './index.ts';

const config = parseVaeConfig({
  block_out_channels: [4, 8],
  down_block_types: Array(2).fill('DownEncoderBlock2D'),
  up_block_types: Array(2).fill('UpDecoderBlock2D'),
  norm_num_groups: 2,
});

const random = (shape: [number, number, number, number], seed: number): Tensor4D =>
  tensor4d(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed },
    ),
    shape,
  );

const kinds: Record<string, VaeAsyncOptions> = {
  untiled: {},
  sliced: { slicing: true },
  'in bands': { tiling: { kind: 'exact', maxTensorBytes: 4 * 22 * 8 * 6 } },
  'in blended tiles': { tiling: { kind: 'blend', tileSize: 16 } },
};

describeOnBackends('asynchronous passes', (backend) => {
  for (const [name, options] of Object.entries(kinds)) {
    // Each kind is minutes of shader compilation on a software GPU, and the pauses are the same in all.
    if (backend === 'webgpu' && name !== 'in bands') continue;
    it(`gives the synchronous result, with rising progress, and leaves nothing behind: ${name}`, async () => {
      const vae = vaeParams(randomParams(1), config);
      const [image, latents] = [random([2, 20, 24, 3], 2), random([2, 10, 12, 4], 3)].map((x) => keep(x));
      const [expected, drawn] = [vaeEncode(vae, image, options).posterior.mean, vaeDecode(vae, latents, options).image];
      await expectNoLeaks(async () => {
        const seen: Progress[] = [];
        const onProgress = (progress: Progress): number => seen.push(progress);
        const { posterior } = await vaeEncodeAsync(vae, image, { ...options, onProgress });
        await expectClose(posterior.mean, expected, { relative: 0 });
        expect(seen.at(-1)).toEqual({ done: 1, at: 'quant_conv' });
        expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).sort((a, b) => a - b));
        const decoded = await vaeDecodeAsync(vae, latents, { ...options, onProgress });
        await expectClose(decoded.image, drawn, { relative: 0 });
        expect(seen.at(-1)?.at).toBe('decoder.conv_out');
        for (const t of [posterior.mean, posterior.logVariance, decoded.image]) t.dispose();
      });
    });

    it(`stops when it is told to, and leaves nothing behind: ${name}`, async () => {
      const vae = vaeParams(randomParams(1), config);
      const latents = keep(random([2, 10, 12, 4], 3));
      await expectNoLeaks(async () => {
        const stop = new AbortController();
        let pieces = 0;
        const onProgress = (): void => {
          pieces++;
          if (pieces === 5) stop.abort(new Error('the page was closed'));
        };
        const run = vaeDecodeAsync(vae, latents, { ...options, signal: stop.signal, onProgress });
        await expect(run).rejects.toThrow('the page was closed');
        expect(pieces).toBe(5);
      });
    });

    // What is held and freed is the same on all backends.
    if (backend !== 'native') continue;
    it(`leaves nothing behind where a kernel fails: ${name}`, async () => {
      const vae = vaeParams(randomParams(1), config);
      const [image, latents] = [random([2, 20, 24, 3], 2), random([2, 10, 12, 4], 3)].map((x) => keep(x));
      const taps = name === 'in blended tiles' ? [] : (['encoder.conv_in'] as const);
      const passes = async (): Promise<void> => {
        const { posterior, taps: found } = await vaeEncodeAsync(vae, image, { ...options, taps });
        dispose([posterior, found]);
        dispose((await vaeDecodeAsync(vae, latents, options)).image);
      };
      await expectNoLeaksOnFaults(passes, { places: 40 });
    });
  }

  it('lets other work run between its pieces', async () => {
    const vae = vaeParams(randomParams(1), config);
    let turns = 0;
    let running = true;
    const other = (async () => {
      while (running) {
        turns++;
        await new Promise((resolve) => setTimeout(resolve));
      }
    })();
    let pieces = 0;
    await vaeEncodeAsync(vae, random([1, 16, 16, 3], 2), { onProgress: () => pieces++ });
    running = false;
    await other;
    expect(pieces).toBeGreaterThan(5);
    expect(turns).toBeGreaterThanOrEqual(pieces - 1);
  });
});
