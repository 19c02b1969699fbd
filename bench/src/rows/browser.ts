import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, runInChromium } from '@rass/testkit/browser';
import { median } from '../duel.ts';
import type { measure, Question, Side } from './browser-page.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const MODEL = at('../../../models/tiny-base');
const CACHE = at('../../../.cache/bench');
const ORT = 'onnxruntime-web@1.30.0';
const ONNX = ['onnx==1.19.1', 'protobuf==7.36.2', 'ml_dtypes==0.6.0'];
const LATENTS = 32;

/** Installs what only this row needs into the repository's cache, once: beside its place, so that it is there whole or not at all. */
function installed(name: string, install: (folder: string) => void): string {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const beside = mkdtempSync(join(CACHE, 'tmp-'));
  try {
    install(beside);
    renameSync(beside, folder);
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

const filesBelow = (folder: string, prefix: string, pattern = '**/*'): Record<string, Uint8Array> =>
  Object.fromEntries(
    globSync(pattern, { cwd: folder, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [`${prefix}${file.slice(folder.length)}`, readFileSync(file)]),
  );

/** The model's graphs, as onnxruntime reads them. */
function exportGraphs(python: string, out: string): void {
  const packages = installed(ONNX[0]!.replace('==', '-'), (folder) =>
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, ...ONNX]),
  );
  const args = [at('../../python/export_onnx.py'), MODEL, String(LATENTS), out];
  execFileSync(python, args, { env: { ...process.env, PYTHONPATH: packages }, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Our shaders, TensorFlow.js's, and onnxruntime-web on the graph of the same weights, on one adapter in one page of Chromium.
 * @returns the lines of a Markdown table, and what computed */
export async function browserTable(python: string, rounds: number): Promise<{ table: string; facts: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'rass-bench-'));
  try {
    exportGraphs(python, folder);
    const ort = installed(ORT.replace('@', '-'), (prefix) =>
      execFileSync('npm', ['install', '--silent', '--no-save', '--prefix', prefix, ORT]),
    );
    const model = filesBelow(MODEL, '/model');
    const files = {
      ...model,
      ...filesBelow(folder, '/onnx', '*.onnx'),
      ...filesBelow(join(ort, 'node_modules/onnxruntime-web/dist'), '/ort', '{ort.webgpu.min.mjs,*.asyncify.*}'),
    };
    const question: Question = {
      files: Object.keys(model).map((path) => path.slice('/model/'.length)),
      latents: LATENTS,
      rounds,
    };
    const script = `import { measure } from './src/rows/browser-page.ts';
      export default () => measure(${JSON.stringify(question)});`;
    const found = await runInChromium<Awaited<ReturnType<typeof measure>>>(script, {
      resolveFrom: at('../..'),
      files,
    });
    const rows = found.answers.map(({ name, seconds, difference }) => {
      const ms = (side: Side): string => (1000 * median(seconds[side])).toFixed(0);
      const ratio = (side: Side): string => median(seconds.ours.map((own, i) => own / seconds[side][i]!)).toFixed(2);
      const apart = Math.max(...Object.values(difference)).toExponential(1);
      return `| ${[name, ms('ours'), ms('TensorFlow.js'), ratio('TensorFlow.js'), ms('onnxruntime-web'), ratio('onnxruntime-web'), apart].join(' | ')} |`;
    });
    const head = [
      '|  | ours, ms | TensorFlow.js, ms | time ratio | onnxruntime-web, ms | time ratio | largest difference |',
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ];
    return { table: [...head, ...rows].join('\n'), facts: `${found.adapter}, in Chromium; ${ORT}` };
  } finally {
    await closeBrowsers();
    rmSync(folder, { recursive: true, force: true });
  }
}
