import { BackendError, messageOf } from '../errors.ts';
import { askWithin, RefusedError } from './bounded-body.ts';
import { isPinned } from './pins.ts';
import { compareVersions, DEFAULT_INDEX_URL, meetsSpecifier, PYTHON_TAG, parseWheelName } from './wheels.ts';

/** A file that a package index offers. */
export interface IndexFile {
  name: string;
  url: string;
  sha256: string;
  size?: number;
}

/** Who fetches, for messages. */
export interface Fetching {
  /** The command: `backend install`. */
  command: string;
  /** What else can be done where a package index is out of reach: `pass --wheel with a file`. */
  otherwise: string;
}

export const FETCHING_WHEELS: Fetching = { command: 'backend install', otherwise: 'pass --wheel with a file' };

interface SimpleJson {
  files: { filename: string; url: string; hashes: Record<string, string>; size?: number; yanked?: boolean | string }[];
}

/** The longest lists have some megabytes. */
const MOST_LISTED_BYTES = 64 << 20;
// A file of this name is written: what an index says may not lead out of its folder.
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._+!-]*$/;

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';

/** The package index to ask: the one given, PIP_INDEX_URL, or the public one. */
export const indexUrlOf = (given?: string): string => given ?? process.env['PIP_INDEX_URL'] ?? DEFAULT_INDEX_URL;

/** Lists a project's files on a package index; JSON and HTML answers are both read. @source PEP 503, PEP 691
 * @throws BackendError when the index cannot be reached or does not know the project */
export async function listFiles(
  indexUrl: string,
  project: string,
  fetching: Fetching = FETCHING_WHEELS,
  stalling: { readonly stallMs?: number } = {},
): Promise<IndexFile[]> {
  const page = `${indexUrl.replace(/\/+$/, '')}/${project.toLowerCase().replace(/[-_.]+/g, '-')}/`;
  const accept = `${JSON_TYPE}, text/html;q=0.1`;
  try {
    return await askWithin(page, { accept }, stalling, async (response, parts) => {
      if (!response.ok) throw new RefusedError(`status ${response.status}`, true);
      const type = response.headers.get('content-type') ?? '';
      const all: Uint8Array[] = [];
      for await (const part of parts(MOST_LISTED_BYTES)) all.push(part);
      const text = Buffer.concat(all).toString();
      const files = type.includes('json') ? fromJson(text, response.url) : fromHtml(text, response.url);
      return files.filter(({ name }) => FILE_NAME.test(name));
    });
  } catch (error) {
    throw unreachable(fetching, page, messageOf((error as Error).cause ?? error), error);
  }
}

function unreachable({ command, otherwise }: Fetching, page: string, reason: string, cause?: unknown): BackendError {
  return new BackendError(
    'install-failed',
    `${command}: the package index must answer; ${page} gave ${reason}; ` +
      `set PIP_INDEX_URL to one that can be reached, or ${otherwise}`,
    { cause },
  );
}

function fromJson(text: string, base: string): IndexFile[] {
  const { files } = JSON.parse(text) as SimpleJson;
  const usable = files.filter((file) => !file.yanked && file.hashes['sha256']);
  return usable.map((file) => ({
    name: file.filename,
    url: new URL(file.url, base).href,
    sha256: file.hashes['sha256']!,
    ...(file.size === undefined ? {} : { size: file.size }),
  }));
}

function fromHtml(text: string, base: string): IndexFile[] {
  const files: IndexFile[] = [];
  for (const [tag, href] of text.matchAll(/<a\s[^>]*?href="([^"]+)"[^>]*>/gi)) {
    if (/data-yanked/i.test(tag)) continue;
    const url = new URL(href!.replaceAll('&amp;', '&'), base);
    const sha256 = /sha256=([0-9a-f]{64})/.exec(url.hash)?.[1];
    url.hash = '';
    const name = decodeURIComponent(url.pathname.split('/').at(-1)!);
    if (sha256 !== undefined) files.push({ name, url: url.href, sha256 });
  }
  return files;
}

/** The newest Linux x86_64 wheel among an index's files that meets a version specifier.
 * @throws BackendError naming the versions that are there */
export function chooseWheel(files: readonly IndexFile[], project: string, specifier: string): IndexFile {
  const wheels = files.flatMap((file) => {
    const name = parseWheelName(file.name);
    return name && /linux.*x86_64/.test(name.platform) ? [{ file, name }] : [];
  });
  const fitting = wheels.filter(({ name }) => {
    return (name.python === PYTHON_TAG || name.python.startsWith('py')) && meetsSpecifier(name.version, specifier);
  });
  fitting.sort((a, b) => compareVersions(b.name.version, a.name.version));
  const chosen = fitting.find(({ file }) => isPinned(file.sha256)) ?? fitting[0];
  if (chosen !== undefined) return chosen.file;
  const versions = [...new Set(wheels.map(({ name }) => name.version))].slice(-8);
  throw new BackendError(
    'install-failed',
    `backend install: ${project}${specifier} needs a Linux x86_64 wheel for ${PYTHON_TAG}; the index has ` +
      `${versions.length > 0 ? `versions ${versions.join(', ')}` : 'none'}; choose one with --tf-version`,
  );
}
