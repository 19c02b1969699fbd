import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, delimiter, join } from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';

/** WebGPU on Chromium's software renderer. All of them are needed: fewer give no adapter, or one that dies on a
 * synchronous read. */
const SWIFTSHADER_FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan,WebGPU',
  '--use-vulkan=swiftshader',
  '--use-angle=swiftshader',
];

/** The system's Chromium: RASS_CHROMIUM, or `chromium` on the PATH; undefined where there is none. */
export function chromiumExecutable(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = [process.env.RASS_CHROMIUM ?? '', ...folders.map((folder) => join(folder, 'chromium'))];
  return candidates.filter(Boolean).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export interface BrowserOptions {
  /** Folder from which the script's imports are resolved. */
  resolveFrom: string;
  minify?: boolean;
  /** Serve with the headers that allow SharedArrayBuffer, and so threads. */
  isolated?: boolean;
  /** Sent with all files as their Content-Security-Policy. */
  policy?: string;
  /** Further files, by their path on the server. */
  files?: Readonly<Record<string, Uint8Array>>;
  /** Modules that are bundled into one file each, such as a worker's, by their path on the server. */
  scripts?: Readonly<Record<string, string>>;
  /** Chromium without the flags that give it a software WebGPU adapter. */
  withoutWebgpu?: boolean;
}

type Served = Map<string, { type: string; body: string | Uint8Array }>;

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
  map: 'application/json',
};

const COMMON = {
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  logLevel: 'silent',
} as const;

async function bundle(script: string, options: BrowserOptions): Promise<Served> {
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: options.resolveFrom, loader: 'ts', sourcefile: 'page.ts' },
    ...COMMON,
    splitting: true,
    outdir: '/',
    minify: options.minify ?? false,
  });
  const served: Served = new Map();
  for (const { path, text } of outputFiles) {
    const name = basename(path) === 'stdin.js' ? '/page.js' : `/${basename(path)}`;
    served.set(name, { type: 'text/javascript', body: text });
  }
  served.set('/', { type: 'text/html', body: '<!doctype html><meta charset="utf-8"><title>test</title>' });
  for (const [path, entry] of Object.entries(options.scripts ?? {})) {
    const { outputFiles: alone } = await build({ ...COMMON, entryPoints: [entry] });
    served.set(path, { type: 'text/javascript', body: alone[0]!.text });
  }
  for (const [path, body] of Object.entries(options.files ?? {})) {
    served.set(path, { type: TYPES[path.split('.').at(-1)!] ?? 'application/octet-stream', body });
  }
  return served;
}

async function serve(
  served: Served,
  { isolated = false, policy }: BrowserOptions,
): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const found = served.get(new URL(request.url ?? '/', 'http://localhost').pathname);
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    if (policy !== undefined) response.setHeader('Content-Security-Policy', policy);
    response.writeHead(found ? 200 : 404, { 'content-type': found?.type ?? 'text/plain' });
    response.end(found?.body ?? 'not found');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() };
}

async function inPage<T>(page: Page, url: string): Promise<T> {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(url);
  // As text: vitest rewrites an import() that it sees in a function.
  const run = page.evaluate("import('/page.js').then((module) => module.default())");
  const result = await run.catch((error: Error) => {
    throw new Error(`in the page: ${error.message}${problems.length > 0 ? `; before it: ${problems.join('; ')}` : ''}`);
  });
  return result as T;
}

const browsers = new Map<string, Promise<Browser>>();

function launch(executablePath: string, args: string[]): Promise<Browser> {
  const key = args.join(' ');
  const running = browsers.get(key) ?? chromium.launch({ executablePath, args, headless: true });
  browsers.set(key, running);
  return running;
}

/** A page of its own in real Chromium, with nothing kept from others. Close it with `page.context().close()`.
 * @throws when there is no Chromium */
export async function openChromiumPage({
  withoutWebgpu = false,
}: {
  readonly withoutWebgpu?: boolean;
} = {}): Promise<Page> {
  const executablePath = chromiumExecutable();
  if (executablePath === undefined)
    throw new Error('chromium: not found; install it, or set RASS_CHROMIUM to its path');
  const browser = await launch(executablePath, withoutWebgpu ? ['--no-sandbox'] : SWIFTSHADER_FLAGS);
  return (await browser.newContext()).newPage();
}

/** Ends the browsers that runInChromium started; call it in afterAll. */
export async function closeBrowsers(): Promise<void> {
  for (const browser of browsers.values()) await (await browser).close();
  browsers.clear();
}

/** Bundles a module for browsers, runs its default export in real Chromium on a page served over loopback, and
 * returns what it resolves to (as JSON). The browser is kept for the next call.
 * @throws when there is no Chromium, or with the page's own error */
export async function runInChromium<T>(script: string, options: BrowserOptions): Promise<T> {
  const served = await bundle(script, options);
  const server = await serve(served, options);
  try {
    const page = await openChromiumPage(options);
    try {
      return await inPage<T>(page, server.url);
    } finally {
      await page.context().close();
    }
  } finally {
    server.close();
  }
}
