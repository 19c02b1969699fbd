import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Lpips, lpipsParams } from '@rass/metrics/lpips';
import { loadParams } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { checkConverted, weightsFolder } from '../weights/install-once.ts';

/** Loads LPIPS's published weights, which `rass weights install lpips` has put into the cache. @throws when they are not there */
export async function openLpips(net: 'alex' | 'vgg'): Promise<Lpips> {
  const path = join(weightsFolder(), `lpips-${net}.safetensors`);
  if (!existsSync(path)) {
    throw new Error(
      `lpips: its weights are at ${path}; got none; run rass weights install lpips, or set loss.net to none`,
    );
  }
  await checkConverted(path, 'lpips');
  const checkpoint = await openCheckpoint(path);
  try {
    return (
      await loadParams(checkpoint, (from) => lpipsParams(from, net), { remedy: 'run rass weights install lpips again' })
    ).params;
  } finally {
    await checkpoint.close();
  }
}
