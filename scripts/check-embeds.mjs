// Embeds the packed runtime as other products would: in a Vite app, in a React app, and by a plain script tag. Each is built,
// served over loopback and run in Chromium, where it restores and segments a picture with a small model of random weights.
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { chromiumExecutable, closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { serveSite, writeFiles } from '../apps/runtime/src/site.test-support.ts';
import { smallModelFiles } from '../packages/pipeline/src/small-model.test-support.ts';
import { blobFolder, makeManifest } from '../packages/weights/src/index.ts';
import { root } from './toolchain.mjs';

const PICTURE = `
  const picture = () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 48];
    canvas.getContext('2d').fillRect(8, 8, 30, 20);
    return canvas;
  };`;

const USE = `${PICTURE}
  globalThis.result = (async () => {
    const runtime = await createRuntime(options);
    const restored = await runtime.restore(picture());
    const { classes } = await runtime.segment(picture());
    await runtime.dispose();
    return { device: runtime.device.name, size: [restored.width, restored.height], classes: classes.length };
  })();`;

const page = (script) =>
  `<!doctype html><meta charset="utf-8"><title>embed</title><div id="root"></div><script type="module"${script}</script>`;

/** The sources of each embed, by their path below the project. */
const FILES = {
  'vite-app/index.html': page(' src="./main.js">'),
  'vite-app/main.js': `import { createRuntime } from '@rass/runtime';\nconst options = { model: '/model', wasmPaths: '/wasm/' };${USE}`,
  'react-app/index.html': page(' src="./main.jsx">'),
  'react-app/main.jsx': `
    import { useEffect, useState } from 'react';
    import { createRoot } from 'react-dom/client';
    import { useRestored, useRuntime, useSegmentation } from '@rass/runtime/react';
    ${PICTURE}
    const given = picture();
    const options = { model: '/model', wasmPaths: '/wasm/' };
    let settle;
    globalThis.result = new Promise((resolve, reject) => { settle = { resolve, reject }; });
    function App() {
      const { runtime, error } = useRuntime(options);
      const restored = useRestored(runtime, given);
      const segmented = useSegmentation(runtime, given);
      useEffect(() => {
        const failed = error ?? restored.error ?? segmented.error;
        if (failed) settle.reject(failed);
        const [picture, found] = [restored.result, segmented.result];
        if (picture && found) settle.resolve({ device: runtime.device.name, size: [picture.width, picture.height], classes: found.classes.length });
      });
      return <p>{segmented.result?.classes.length ?? 'at work'}</p>;
    }
    createRoot(document.getElementById('root')).render(<App />);`,
  'vite.config.js': `export default { base: '/', publicDir: '../public', worker: { format: 'es' }, build: { outDir: 'dist', emptyOutDir: true } };`,
  'script-tag/index.html': page(
    `>import { createRuntime } from '/runtime/rass-runtime.js';\nconst options = { model: '/model' };${USE}`,
  ),
};

async function writeProject(project) {
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), text);
  }
  await selectBackend('cpu');
  const model = await smallModelFiles();
  model.set('files.json', new Blob([JSON.stringify(await makeManifest(blobFolder(model), [...model.keys()]))]));
  await writeFiles(join(project, 'public', 'model'), model);
  const wasm = join(project, 'node_modules', '@tensorflow', 'tfjs-backend-wasm', 'dist');
  for (const name of readdirSync(wasm).filter((each) => each.endsWith('.wasm')))
    cpSync(join(wasm, name), join(project, 'public', 'wasm', name));
  cpSync(join(project, 'public'), join(project, 'script-tag'), { recursive: true });
  cpSync(join(project, 'node_modules', '@rass', 'runtime', 'dist', 'standalone'), join(project, 'script-tag', 'runtime'), { recursive: true }); // biome-ignore format: one line
}

async function runEmbed(folder) {
  const site = await serveSite(folder);
  const tab = await openChromiumPage({ withoutWebgpu: true });
  try {
    await tab.goto(site.url);
    return await tab.evaluate('globalThis.result');
  } finally {
    await tab.context().close();
    site.close();
  }
}

/** @returns what went wrong */
export async function checkEmbeds(project, run) {
  if (chromiumExecutable() === undefined) return ['embeds: they run in Chromium; there is none; install it'];
  await writeProject(project);
  const problems = [];
  const vite = join(root, 'apps', 'runtime', 'node_modules', '.bin', 'vite');
  for (const name of ['vite-app', 'react-app', 'script-tag']) {
    try {
      const isBuilt = name !== 'script-tag';
      if (isBuilt) {
        const built = run(vite, ['build', name, '--config', 'vite.config.js', '--logLevel', 'warn'], project);
        if (!built.ok) throw new Error(built.output);
      }
      const folder = join(project, name, ...(isBuilt ? ['dist'] : []));
      const result = await runEmbed(folder);
      const isRight = result.device === 'wasm' && String(result.size) === '64,48' && result.classes > 0;
      if (!isRight) throw new Error(`got ${JSON.stringify(result)}`);
    } catch (error) {
      problems.push(`embed ${name}: ${error.message}`);
    }
  }
  await closeBrowsers();
  return problems;
}
