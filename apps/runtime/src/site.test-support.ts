import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Writes files, by their paths below a folder. */
export async function writeFiles(folder: string, files: ReadonlyMap<string, Blob>): Promise<void> {
  for (const [path, blob] of files) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, new Uint8Array(await blob.arrayBuffer()));
  }
}

/** Builds the page with a model's files, as a static site in a folder. */
export async function buildSite(folder: string, model: ReadonlyMap<string, Blob>): Promise<string> {
  const [own, site] = [join(folder, 'model'), join(folder, 'site')];
  await writeFiles(own, model);
  process.env['RASS_PAGE_MODEL'] = own;
  await build({ configFile: at('../page/vite.config.ts'), logLevel: 'error', build: { outDir: site } });
  return site;
}

/** Builds the runtime as pages without a bundler take it: into `runtime/` of a folder, beside a page that is empty. */
export async function buildRuntime(folder: string): Promise<void> {
  const outDir = join(folder, 'runtime');
  await build({ configFile: at('../standalone/vite.config.ts'), logLevel: 'error', build: { outDir } });
  writeFileSync(join(folder, 'index.html'), '<!doctype html><meta charset="utf-8"><title>runtime</title>');
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  css: 'text/css',
  wasm: 'application/wasm',
  png: 'image/png',
};

/** What a server did. */
export interface Site {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** Breaks the connection in place of an answer where it says so. */
  breaks: (path: string) => boolean;
  close(): void;
}

/** Serves a folder over loopback, ranges too, as a host of static sites does. */
export async function serveSite(folder: string): Promise<Site> {
  const server = createServer(({ url, headers }, response) => {
    const path = new URL(url ?? '/', 'http://localhost').pathname;
    site.asked.push(path);
    if (site.breaks(path)) return response.destroy();
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) return response.writeHead(404).end();
    const bytes = readFileSync(file);
    const type = { 'content-type': TYPES[file.split('.').at(-1)!] ?? 'application/octet-stream' };
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    if (range === null) return response.writeHead(200, type).end(bytes);
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
    response.writeHead(206, { ...type, 'content-range': `bytes ${start}-${end}/${bytes.length}` });
    return response.end(bytes.subarray(start, end + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const site: Site = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: [],
    breaks: () => false,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return site;
}
