import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bufferSource, openCheckpoint, type TensorToWrite } from '@rass/weights';
import { openCheckpoint as openFile, saveSafetensors } from '@rass/weights/node';
import { unzipSync } from 'fflate';
import {
  type Archive,
  installOnce,
  missingMember,
  type WeightsInstall,
  type WeightsInstallOptions,
  weightsFolder,
} from './install-once.ts';
import { installLpips, lpipsFile } from './lpips.ts';

/** The authors' package, MIT licence. It holds the weights of the channels; VGG16 comes with LPIPS. */
const ARCHIVE: Archive = {
  project: 'dists-pytorch',
  name: 'DISTS_pytorch-0.1-py3-none-any.whl',
  sha256: '73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61',
};
const MEMBER = 'DISTS_pytorch/weights.pt';

async function convert(wheel: string, { cacheDir }: WeightsInstallOptions): Promise<Map<string, TensorToWrite>> {
  const bytes = unzipSync(readFileSync(wheel), { filter: ({ name }) => name === MEMBER })[MEMBER];
  if (bytes === undefined) throw missingMember(wheel, MEMBER);
  const tensors = new Map<string, TensorToWrite>();
  const shares = await openCheckpoint(bufferSource(bytes, MEMBER));
  for (const key of ['alpha', 'beta']) tensors.set(key, await shares.read(key));
  const vgg = await openFile(lpipsFile('vgg', cacheDir));
  for (const key of vgg.keys().filter((each) => each.startsWith('net.slice'))) {
    tensors.set(key.replace('net.slice', 'stage'), await vgg.read(key));
  }
  await vgg.close();
  return tensors;
}

/** Puts DISTS' weights into the cache under the keys of the `DISTS_pytorch` package; VGG16 is that of LPIPS, which is installed
 * too. @throws BackendError when they cannot be had or their hash differs */
export async function installDists(options: WeightsInstallOptions): Promise<WeightsInstall> {
  const { file: _wheel, ...rest } = options;
  const target = join(weightsFolder(options.cacheDir), 'dists.safetensors');
  return installOnce([target], ARCHIVE, options, async (wheel) => {
    await installLpips({ ...rest, force: false });
    await saveSafetensors(target, await convert(wheel, options), { metadata: { source: ARCHIVE.name } });
  });
}
