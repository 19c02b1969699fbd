import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '@rass/kernels/node';
import { disposeParams } from '@rass/nn';
import { describeOnBackends } from '@rass/testkit';
import { loadParams } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { div, sub, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { type Lpips, type LpipsNet, lpips, lpipsParams } from '../lpips.ts';

const data = process.env['RASS_TEST_DATA'];
const folder = join(data ?? '', 'restore-mini');
const weights = (net: LpipsNet) => join(cacheFolder(), 'weights', `lpips-${net}.safetensors`);

async function load(net: LpipsNet): Promise<Lpips> {
  const checkpoint = await openCheckpoint(weights(net));
  const { params } = await loadParams(checkpoint, (from) => lpipsParams(from, net));
  await checkpoint.close();
  return params;
}

function image(file: string): Tensor4D {
  const { width, height, data: values } = decode(readFileSync(join(folder, file)));
  return tidy(() => sub(div(tensor(Float32Array.from(values), [1, height, width, 3]), 127.5), 1)) as Tensor4D;
}

const available = data !== undefined && existsSync(weights('alex'));
const published: Record<string, { lpips: number }> = available
  ? JSON.parse(readFileSync(join(folder, 'osediff/metrics.json'), 'utf8'))
  : { none: {} };

describe.skipIf(!available)(
  'photographs that OSEDiff has restored (skipped without RASS_TEST_DATA and `rass weights install lpips`)',
  () => {
    const bodyFor = (names: readonly string[]) => () => {
      it.each(names)('have the scores that were published: %s', async (name) => {
        const p = await load('alex');
        const [distance] = await lpips(p, image(`osediff/${name}.png`), image(`hq/${name}.png`)).data();
        expect(Math.abs(distance - published[name].lpips)).toBeLessThan(2e-3);
        disposeParams(p);
      });
    };
    const names = Object.keys(published);
    describeOnBackends('by AlexNet', bodyFor(names), ['native']);
    // In plain JavaScript, or on WebGPU without a GPU, one photograph takes the better part of a minute.
    describeOnBackends('by AlexNet', bodyFor(names.slice(0, 1)), ['wasm']);
  },
);
