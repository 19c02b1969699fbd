import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BackendError } from '../errors.ts';
import { downloadFile, sha256OfFile } from './download.ts';
import { chooseWheel, type IndexFile, indexUrlOf, listFiles } from './package-index.ts';
import { pinnedRequirement } from './pins.ts';
import { findPip, pipDownload } from './pip.ts';
import type { InstallProgress } from './progress.ts';
import { wheelMetadata } from './unpack.ts';
import { cudaRequirements, DOWNLOAD_BYTES, type Requirement } from './wheels.ts';

/** Who fetches: pip where there is one (it knows the user's index, proxy and certificates), else this program. */
export type Downloader = 'auto' | 'pip' | 'direct';

/** Which wheels to fetch, and how. */
export interface WheelRequest {
  version: string;
  gpu: boolean;
  offline?: boolean;
  indexUrl?: string;
  downloader?: Downloader;
  onProgress: (progress: InstallProgress) => void;
}

type Fetch = (requirements: readonly Requirement[]) => Promise<string[]>;

function viaPip(pip: readonly string[], request: WheelRequest, folder: string): Fetch {
  return (requirements) => {
    const what = requirements.map(({ project, specifier }) => project + specifier);
    const known = DOWNLOAD_BYTES[what.join(' ')];
    const total = known === undefined ? {} : { total: known };
    const onBytes = (done: number) => request.onProgress({ stage: 'download', what: what.join(' '), done, ...total });
    const indexUrl = request.indexUrl;
    return pipDownload(pip, what, folder, { onBytes, ...(indexUrl === undefined ? {} : { indexUrl }) });
  };
}

async function fetchOne(file: IndexFile, folder: string, request: WheelRequest): Promise<string> {
  const target = join(folder, file.name);
  if (existsSync(target) && (await sha256OfFile(target)) === file.sha256) return target;
  const total = file.size === undefined ? {} : { total: file.size };
  await downloadFile(file, target, (done) =>
    request.onProgress({ stage: 'download', what: file.name, done, ...total }),
  );
  return target;
}

/** Downloads go to a folder that outlives a failure, so that the next run goes on where this one stopped. */
function viaIndex(request: WheelRequest, downloads: string): Fetch {
  const indexUrl = indexUrlOf(request.indexUrl);
  mkdirSync(downloads, { recursive: true });
  return async (requirements) => {
    const wheels: string[] = [];
    for (const { project, specifier } of requirements) {
      const file = chooseWheel(await listFiles(indexUrl, project), project, specifier);
      wheels.push(await fetchOne(file, downloads, request));
    }
    return wheels;
  };
}

async function chooseFetch(request: WheelRequest, staging: string, downloads: string): Promise<Fetch> {
  const { downloader = 'auto' } = request;
  if (downloader === 'direct') return viaIndex(request, downloads);
  const pip = await findPip();
  if (pip !== undefined) return viaPip(pip, request, staging);
  if (downloader === 'auto') return viaIndex(request, downloads);
  throw new BackendError(
    'install-failed',
    'backend install: the downloader pip needs python3 with pip; none runs; install it, set PYTHON, or use --downloader direct',
  );
}

/** The project whose wheel is fetched. */
export const projectOf = ({ gpu }: Pick<WheelRequest, 'gpu'>): string => (gpu ? 'tensorflow' : 'tensorflow-cpu');

/** Fetches TensorFlow's wheel and, with `gpu`, the CUDA libraries that its METADATA names. @throws BackendError */
export async function fetchWheels(request: WheelRequest, staging: string, downloads: string): Promise<string[]> {
  const project = projectOf(request);
  if (request.offline) {
    throw new BackendError(
      'install-failed',
      `backend install: offline, the library must be at hand; ${project} ${request.version} is not in the cache; ` +
        'pass --wheel with a wheel file or --library-dir with an unpacked one',
    );
  }
  const fetch = await chooseFetch(request, staging, downloads);
  const wheels = await fetch([{ project, specifier: `==${request.version}` }]);
  if (!request.gpu) return wheels;
  const main = wheels.find((wheel) => basename(wheel).startsWith('tensorflow-'));
  return [...wheels, ...(await fetch(cudaRequirements(await wheelMetadata(main!)).map(pinnedRequirement)))];
}
