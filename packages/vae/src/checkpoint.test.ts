import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { namedTensors } from '@rass/nn';
import { describeOnBackends, expectClose, loadGolden } from '@rass/testkit';
import {
  bufferSource,
  type Checkpoint,
  invertRenaming,
  loadParams,
  OLD_VAE_ATTENTION,
  openCheckpoint,
  renamedCheckpoint,
  selectPrefix,
} from '@rass/weights';
import { expect, it } from 'vitest';
import { goldenImage } from './golden.test-support.ts';
import { parseVaeConfig, vaeDecode, vaeDecoderParams, vaeEncode, vaeParams } from './index.ts';

const file = join(import.meta.dirname, '../../../test-fixtures/golden/vae/square.safetensors');

async function checkpoint(): Promise<Checkpoint> {
  return selectPrefix(await openCheckpoint(bufferSource(readFileSync(file))), 'w/');
}

describeOnBackends('vae from a checkpoint', () => {
  it('loads with nothing missing and nothing left over', async () => {
    const golden = loadGolden('vae/square');
    const config = parseVaeConfig(golden.config);
    const { params, report } = await loadParams(await checkpoint(), (from) => vaeParams(from, config));
    expect(report.used.length).toBe(namedTensors(params).length);
    const { posterior } = vaeEncode(params, goldenImage(golden, 'in/image'));
    await expectClose(posterior.mean, goldenImage(golden, 'out/mean'));
  });

  it('loads one half alone, and the names that attention had in old files', async () => {
    const golden = loadGolden('vae/square');
    const config = parseVaeConfig(golden.config);
    const old = renamedCheckpoint(await checkpoint(), invertRenaming(OLD_VAE_ATTENTION));
    expect(old.keys()).toContain('decoder.mid_block.attentions.0.proj_attn.weight');
    const renamed = renamedCheckpoint(old, OLD_VAE_ATTENTION);
    const options = { allowUnused: [/^encoder\./, /^quant_conv\./] };
    const { params } = await loadParams(renamed, (from) => vaeDecoderParams(from, config), options);
    const { image } = vaeDecode(params, goldenImage(golden, 'in/latents'));
    await expectClose(image, goldenImage(golden, 'out/decoded'));
  });
});
