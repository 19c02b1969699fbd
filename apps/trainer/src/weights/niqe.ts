import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TensorToWrite } from '@rass/weights';
import { saveSafetensors } from '@rass/weights/node';
import { unzipSync } from 'fflate';
import { parseTarGzip } from 'nanotar';
import {
  type Archive,
  installOnce,
  missingMember,
  type WeightsInstall,
  type WeightsInstallOptions,
  weightsFolder,
} from './install-once.ts';

/** The package that carries the authors' model of natural photographs. Apache-2.0. */
const ARCHIVE: Archive = {
  project: 'basicsr',
  name: 'basicsr-1.4.2.tar.gz',
  sha256: 'b89b595a87ef964cda9913b4d99380ddb6554c965577c0c10cb7b78e31301e87',
};
const MEMBER = 'niqe_pris_params.npz';
const PARTS = ['mu_pris_param', 'cov_pris_param', 'gaussian_window'];

/** Where the model lies. */
const niqeFile = (cacheDir?: string): string => join(weightsFolder(cacheDir), 'niqe.safetensors');

/** The other order of a matrix's elements. */
function transposed(values: Float64Array<ArrayBuffer>, [rows = 1, columns = 1]: readonly number[]): typeof values {
  return values.map((_, i) => values[(i % columns) * rows + Math.floor(i / columns)]);
}

/** A vector or matrix of NumPy's own format, version 1, in float64: what this archive holds. @source numpy.lib.format */
function parseNpy(bytes: Uint8Array, name: string): TensorToWrite {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 10 + view.getUint16(8, true);
  const header = new TextDecoder('latin1').decode(bytes.subarray(10, start));
  const listed = /'shape': \((\d+), ?(\d+)?,?\)/.exec(header);
  if (!header.includes("'descr': '<f8'") || listed === null) {
    throw new Error(`weights install: ${name} is a matrix of float64; got ${header.trim()}; report it`);
  }
  const shape = listed.slice(1).filter((size) => size !== undefined).map(Number); // biome-ignore format: one line
  const values = new Float64Array(bytes.slice(start).buffer);
  const columnsFirst = header.includes("'fortran_order': True") && shape.length === 2;
  return { dtype: 'F64', shape, data: columnsFirst ? transposed(values, shape) : values };
}

async function convert(archive: string, { cacheDir }: WeightsInstallOptions): Promise<void> {
  const members = await parseTarGzip(readFileSync(archive), { filter: ({ name }) => name.endsWith(MEMBER) });
  const zipped = members.find(({ name }) => basename(name) === MEMBER)?.data;
  if (zipped === undefined) throw missingMember(archive, MEMBER);
  const arrays = unzipSync(zipped);
  const tensors = new Map<string, TensorToWrite>();
  for (const part of PARTS) {
    const bytes = arrays[`${part}.npy`];
    if (bytes === undefined) throw missingMember(archive, `${MEMBER}/${part}`);
    tensors.set(part, parseNpy(bytes, part));
  }
  await saveSafetensors(niqeFile(cacheDir), tensors, { metadata: { source: `${ARCHIVE.name} ${MEMBER}` } });
}

/** Puts NIQE's model of natural photographs into the cache. @throws BackendError when it cannot be had or its hash differs */
export function installNiqe(options: WeightsInstallOptions): Promise<WeightsInstall> {
  return installOnce([niqeFile(options.cacheDir)], ARCHIVE, options, (archive) => convert(archive, options));
}
