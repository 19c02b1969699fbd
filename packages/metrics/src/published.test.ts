import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '@rass/kernels/node';
import { disposeParams, type ParamSource } from '@rass/nn';
import { describeOnBackends } from '@rass/testkit';
import { loadParams } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { div, sub, type Tensor1D, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { dists, distsParams } from './dists.ts';
import { lpips, lpipsParams } from './lpips.ts';

const data = process.env['RASS_TEST_DATA'];
const folder = join(data ?? '', 'restore-mini');

function image(file: string): Tensor4D {
  const { width, height, data: values } = decode(readFileSync(join(folder, file)));
  return tidy(() => sub(div(tensor(Float32Array.from(values), [1, height, width, 3]), 127.5), 1)) as Tensor4D;
}

/** The distance of two files by a network of the cache. */
async function distanceOf<P extends object>(
  weights: string,
  params: (from: ParamSource) => P,
  measure: (p: P, a: Tensor4D, b: Tensor4D) => Tensor1D,
  name: string,
): Promise<number> {
  const checkpoint = await openCheckpoint(weights);
  const { params: p } = await loadParams(checkpoint, params);
  await checkpoint.close();
  const [distance] = await measure(p as P, image(`osediff/${name}.png`), image(`hq/${name}.png`)).data();
  disposeParams(p);
  return distance;
}

const inCache = (file: string) => join(cacheFolder(), 'weights', file);
const METRICS = {
  lpips: {
    file: inCache('lpips-alex.safetensors'),
    by: (name: string) => distanceOf(METRICS.lpips.file, (from) => lpipsParams(from, 'alex'), lpips, name),
  },
  dists: {
    file: inCache('dists.safetensors'),
    by: (name: string) => distanceOf(METRICS.dists.file, (from) => distsParams(from), dists, name),
  },
};

describe.each(['lpips', 'dists'] as const)('photographs that OSEDiff has restored: %s', (metric) => {
  const { file, by } = METRICS[metric];
  const available = data !== undefined && existsSync(file);
  const published: Record<string, Record<typeof metric, number>> = available
    ? JSON.parse(readFileSync(join(folder, 'osediff/metrics.json'), 'utf8'))
    : { none: {} };
  const title = `as published (skipped without RASS_TEST_DATA and \`rass weights install ${metric}\`): %s`;
  const bodyFor = (names: readonly string[]) => () => {
    it.skipIf(!available).each(names)(title, async (name) => {
      expect(Math.abs((await by(name)) - published[name][metric])).toBeLessThan(2e-3);
    });
  };
  const names = Object.keys(published);
  describeOnBackends('on all photographs', bodyFor(names), ['native']);
  // In plain JavaScript, or on WebGPU without a GPU, one photograph takes the better part of a minute.
  describeOnBackends('on one photograph', bodyFor(names.slice(0, 1)), ['wasm']);
});
