// Embeds the packed runtime as other products would: by Vite, as it develops and as it builds, in a React app, by webpack, by esbuild and by a
// plain script tag, each with the configuration that the runtime's README gives. Each is served over loopback and run in Chromium, where it
// restores and segments a picture with a small model of random weights.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { selectBackend } from '@rass/kernels';
import { chromiumExecutable, closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { serveSite, writeFiles } from '../apps/runtime/src/site.test-support.ts';
import { smallModelFiles } from '../packages/pipeline/src/small-model.test-support.ts';
import { blobFolder, makeManifest } from '../packages/weights/src/index.ts';
import { root } from './toolchain.mjs';

/** What builds the embeds, installed beside the packed packages: of the repository's versions, and what only embeds need. */
export const BUNDLERS = { shared: ['vite', 'esbuild'], own: ['webpack@5.113.0'] };

const PICTURE = `
  const picture = () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 48];
    canvas.getContext('2d').fillRect(8, 8, 30, 20);
    return canvas;
  };`;

const use = (options) => `${PICTURE}
  globalThis.result = (async () => {
    const runtime = await createRuntime(${options});
    const restored = await runtime.restore(picture());
    const { classes } = await runtime.segment(picture());
    await runtime.dispose();
    return { device: runtime.device.name, threads: runtime.device.threads, reasons: runtime.device.reasons, size: [restored.width, restored.height], classes: classes.length };
  })();`;

const page = (script) =>
  `<!doctype html><meta charset="utf-8"><title>embed</title><div id="root"></div><script type="module"${script}</script>`;
const program = `import { createRuntime } from '@rass/runtime';${use("{ model: '/model' }")}`;

const REACT = `
  import { useEffect } from 'react';
  import { createRoot } from 'react-dom/client';
  import { useRestored, useRuntime, useSegmentation } from '@rass/runtime/react';
  ${PICTURE}
  const given = picture();
  let settle;
  globalThis.result = new Promise((resolve, reject) => { settle = { resolve, reject }; });
  function App() {
    const { runtime, error } = useRuntime({ model: '/model' });
    const restored = useRestored(runtime, given);
    const segmented = useSegmentation(runtime, given);
    useEffect(() => {
      const failed = error ?? restored.error ?? segmented.error;
      if (failed) settle.reject(failed);
      const [picture, found] = [restored.result, segmented.result];
      const { name, threads } = runtime?.device ?? {};
      if (picture && found) settle.resolve({ device: name, threads, size: [picture.width, picture.height], classes: found.classes.length });
    });
    return <p>{segmented.result?.classes.length ?? 'at work'}</p>;
  }
  createRoot(document.getElementById('root')).render(<App />);`;

/** The sources of each embed, by their path below the project. */
const FILES = {
  'vite/index.html': page(' src="./main.js">'),
  'vite/main.js': program,
  'react/index.html': page(' src="./main.jsx">'),
  'react/main.jsx': REACT,
  'webpack/index.html': page(' src="./main.js">'),
  'webpack/src/main.js': program,
  'esbuild/index.html': page(' src="./main.js">'),
  'esbuild/src/main.js': program,
  'script-tag/index.html': page(
    `>import { createRuntime } from '/runtime/rass-runtime.js';\n${use("{ model: '/model' }")}`,
  ),
};

/** The blocks of the README that configure a bundler, by the file's name that stands above each. */
function configurations() {
  const readme = readFileSync(join(root, 'apps', 'runtime', 'README.md'), 'utf8');
  const blocks = readme.matchAll(/```(?:js|sh)\n(?:\/\/|#) ([\w.]+)\n([\s\S]*?)```/g);
  return Object.fromEntries([...blocks].map(([, name, text]) => [name, text]));
}

async function writeProject(project) {
  const configured = configurations();
  const files = {
    ...FILES,
    'vite/vite.config.js': configured['vite.config.js'],
    'react/vite.config.js': configured['vite.config.js'],
    'webpack/webpack.config.js': configured['webpack.config.js'],
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), text);
  }
  await selectBackend('cpu');
  const model = await smallModelFiles();
  model.set('files.json', new Blob([JSON.stringify(await makeManifest(blobFolder(model), [...model.keys()]))]));
  for (const name of ['vite', 'react']) await writeFiles(join(project, name, 'public', 'model'), model);
  for (const name of ['webpack', 'esbuild', 'script-tag']) await writeFiles(join(project, name, 'model'), model);
}

/** Runs the page at an address, on a machine of eight cores. @returns what it says of itself */
async function runPage(url) {
  const tab = await openChromiumPage({ withoutWebgpu: true });
  const problems = [];
  await tab.route(/\/worker[^/]*\.js$/, async (route) => {
    const response = await route.fetch();
    const body = `Object.defineProperty(navigator, 'hardwareConcurrency', { value: 8, configurable: true });${await response.text()}`;
    await route.fulfill({ response, body });
  });
  tab.on('pageerror', ({ message }) => problems.push(message));
  tab.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
  try {
    await tab.goto(url);
    await tab.waitForFunction('globalThis.result !== undefined');
    return await tab.evaluate('globalThis.result');
  } catch (error) {
    throw new Error([error.message, ...problems].join('\n  '));
  } finally {
    await tab.context().close();
  }
}

async function runFolder(folder, headers) {
  const site = await serveSite(folder, headers);
  try {
    return await runPage(site.url);
  } finally {
    site.close();
  }
}

/** A module of the project, as its own programs import it. */
const importFrom = (project, name) => import(pathToFileURL(createRequire(join(project, 'package.json')).resolve(name)));

/** What a page has to send so that wasm computes with threads. */
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

/** Each way to embed: builds it where there is something to build, and runs it. */
const EMBEDS = {
  async 'vite dev'({ project }) {
    const { createServer } = await importFrom(project, 'vite');
    const server = await createServer({ root: join(project, 'vite'), logLevel: 'error', server: { port: 0, host: '127.0.0.1', ws: false } }); // biome-ignore format: one line
    await server.listen();
    try {
      return await runPage(`http://127.0.0.1:${server.httpServer.address().port}/`);
    } finally {
      await server.close();
    }
  },
  async 'vite build'({ project, build }) {
    build('vite', ['build', 'vite', '--logLevel', 'warn']);
    const result = await runFolder(join(project, 'vite', 'dist'), ISOLATED);
    if (!(result.threads > 1))
      throw new Error(`wasm computes with threads where the page is isolated; got ${result.threads}`);
    return result;
  },
  async 'vite build, with React'({ project, build }) {
    build('vite', ['build', 'react', '--logLevel', 'warn']);
    return runFolder(join(project, 'react', 'dist'));
  },
  async webpack({ project }) {
    const { default: webpack } = await importFrom(project, 'webpack');
    const folder = join(project, 'webpack');
    const { default: configuration } = await import(pathToFileURL(join(folder, 'webpack.config.js')));
    const stats = await new Promise((resolve, reject) => {
      const entry = './src/main.js';
      webpack({ ...configuration, performance: { hints: false }, context: folder, entry, output: { path: folder } }, (error, done) => (error ? reject(error) : resolve(done))); // biome-ignore format: one line
    });
    if (stats.hasErrors() || stats.hasWarnings())
      throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
    return runFolder(folder);
  },
  async esbuild({ project, run }) {
    const shell = run('bash', ['-euc', configurations()['esbuild.sh']], join(project, 'esbuild'));
    if (!shell.ok) throw new Error(shell.output);
    return runFolder(join(project, 'esbuild'));
  },
  async 'a script tag'({ project }) {
    const runtime = join(project, 'node_modules', '@rass', 'runtime', 'dist', 'standalone');
    cpSync(runtime, join(project, 'script-tag', 'runtime'), { recursive: true });
    return runFolder(join(project, 'script-tag'));
  },
};

/** @returns what went wrong */
export async function checkEmbeds(project, run) {
  if (chromiumExecutable() === undefined) return ['embeds: they run in Chromium; there is none; install it'];
  await writeProject(project);
  const problems = [];
  const build = (program, args) => {
    const { ok, output } = run(join(project, 'node_modules', '.bin', program), args, project);
    if (!ok || /warn/i.test(output)) throw new Error(output);
  };
  for (const [name, embed] of Object.entries(EMBEDS)) {
    const begun = Date.now();
    try {
      const result = await embed({ project, build, run });
      const isRight = result.device === 'wasm' && String(result.size) === '64,48' && result.classes > 0;
      if (!isRight) throw new Error(`got ${JSON.stringify(result)}`);
      console.log(`embedded by ${name}: works, ${((Date.now() - begun) / 1000).toFixed(0)} s`);
    } catch (error) {
      problems.push(`embed by ${name}: ${error.message}`);
    }
  }
  await closeBrowsers();
  return problems;
}
