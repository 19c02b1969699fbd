import { BackendError } from '../errors.ts';

/** The default versions. 2.16.2 is the newest CPU build on which tfjs-core's own tests all pass (from 2.17 on `round`
 * of int32 gives zeros); 2.21.0 is the CUDA 12 build whose kernels cover current GPUs. */
export const DEFAULT_CPU_VERSION = '2.16.2';
export const DEFAULT_GPU_VERSION = '2.21.0';

/** The public package index; PIP_INDEX_URL or `indexUrl` replace it. */
export const DEFAULT_INDEX_URL = 'https://pypi.org/simple';

/** The addon only sees the C API, so any CPython's wheel serves; one is pinned so that its hash can be. */
export const PYTHON_TAG = 'cp311';

/** Bytes of the default downloads, for the progress bar alone. */
export const DOWNLOAD_BYTES: Readonly<Record<string, number>> = {
  'tensorflow-cpu==2.16.2': 214e6,
  'tensorflow==2.21.0': 572e6,
};

/** What a wheel's file name says. */
export interface WheelName {
  project: string;
  version: string;
  python: string;
  platform: string;
}

/** Splits a wheel's file name into its parts; undefined where it is not one. @source PEP 427 */
export function parseWheelName(file: string): WheelName | undefined {
  const parts = file.endsWith('.whl') ? file.slice(0, -4).split('-') : [];
  if (parts.length !== 5 && parts.length !== 6) return undefined;
  const [project, version] = parts as [string, string];
  return { project, version, python: parts.at(-3)!, platform: parts.at(-1)! };
}

/** One requirement on another package, as a wheel's METADATA spells it. */
export interface Requirement {
  project: string;
  /** Comma-separated version clauses, e.g. `>=12.5,<13`; empty accepts all. */
  specifier: string;
}

/** The CUDA libraries that a TensorFlow wheel names under its and-cuda extra. @source PEP 508 */
export function cudaRequirements(metadata: string): Requirement[] {
  const line = /^Requires-Dist: *(nvidia-[A-Za-z0-9._-]+) *\(?([^;)\n]*)\)? *; *extra *== *['"]and-cuda['"]/gm;
  return [...metadata.matchAll(line)].map(([, project, specifier]) => ({
    project: project!,
    specifier: specifier!.replaceAll(' ', ''),
  }));
}

function release(version: string): number[] {
  return version.split('.').map(Number);
}

/** Orders two plain release versions such as 12.5.3.2; negative when a is the older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [release(a), release(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether a plain release version meets a specifier. Pre-releases never do. @source PEP 440
 * @throws BackendError on a clause that it does not know */
export function meetsSpecifier(version: string, specifier: string): boolean {
  if (!/^\d+(\.\d+)*(\.post\d+)?$/.test(version)) return false;
  return specifier.split(',').every((clause) => clause === '' || meetsClause(version.replace('.post', '.'), clause));
}

function meetsClause(version: string, clause: string): boolean {
  const match = /^(==|!=|>=|<=|>|<|~=)(\d+(?:\.\d+)*)(\.\*)?$/.exec(clause);
  if (match === null) {
    throw new BackendError(
      'install-failed',
      `backend install: a requirement's version must be a plain one; got "${clause}"; name another TensorFlow version`,
    );
  }
  const [, operator, bound, wildcard] = match as unknown as [string, string, string, string | undefined];
  const order = compareVersions(version, bound);
  const samePrefix = (count: number) =>
    release(bound)
      .slice(0, count)
      .every((part, i) => part === (release(version)[i] ?? 0));
  const equal = wildcard ? samePrefix(release(bound).length) : order === 0;
  switch (operator) {
    case '==':
      return equal;
    case '!=':
      return !equal;
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    default:
      return order >= 0 && samePrefix(release(bound).length - 1);
  }
}
