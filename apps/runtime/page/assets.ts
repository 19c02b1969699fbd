import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { degrade, parseDegradationConfig } from '@rass/degradation';
import { encodePng, type RgbImage, resizePixels } from '@rass/images';
import { readImage } from '@rass/images/node';
import { drawScene } from '@rass/scenes';
import type { Plugin } from 'vite';
import { wasmFiles } from '../wasm-files.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const SIDE = 256;

/** What lies on the site beside what is bundled, by its path there. */
type Assets = Map<string, Uint8Array>;

/** A photograph with its shorter side at SIDE. */
async function photograph(name: string): Promise<RgbImage> {
  const image = await readImage(join(root, 'test-fixtures', 'images', `${name}.jpg`));
  const scale = SIDE / Math.min(image.width, image.height);
  const size = [Math.round(image.height * scale), Math.round(image.width * scale)] as const;
  const { width, height, data } = resizePixels({ ...image, channels: 3 }, size, 'bicubic');
  return { width, height, data: new Uint8Array(data) };
}

/** Bad photographs of what the model was not trained on. */
async function samples(): Promise<Assets> {
  const scene = (seed: number, kind: 'outdoor' | 'indoor'): RgbImage =>
    drawScene({ seed, width: SIDE, height: SIDE, kind }).image;
  const good: Record<string, RgbImage> = {
    cat: await photograph('cat'),
    coffee: await photograph('coffee'),
    rocket: await photograph('rocket'),
    street: scene(2 ** 31 + 3, 'outdoor'),
    room: scene(2 ** 31 + 6, 'indoor'),
  };
  const name = join(root, 'apps', 'trainer', 'recipes', 'tiny', 'degradation.yml');
  const settings = parseDegradationConfig(readFileSync(name, 'utf8'), { name });
  return new Map(
    Object.entries(good).map(([name, image], i) => [
      `samples/${name}.png`,
      encodePng(degrade(image, settings, { seed: i }).image),
    ]),
  );
}

function modelFiles(folder: string): Assets {
  const files: Assets = new Map();
  const walk = (below: string): void => {
    for (const entry of readdirSync(below, { withFileTypes: true })) {
      const path = join(below, entry.name);
      if (entry.isDirectory()) walk(path);
      else files.set(`model/${relative(folder, path).split(sep).join('/')}`, readFileSync(path));
    }
  };
  walk(folder);
  return files;
}

const TYPES: Readonly<Record<string, string>> = {
  wasm: 'application/wasm',
  png: 'image/png',
  json: 'application/json',
};

/** Puts wasm files, samples and the model on the site, with a service worker that keeps the page for visits without a network. */
export function pageAssets({ model }: { readonly model: string }): Plugin {
  let assets: Assets = new Map();
  const collect = async (): Promise<void> => {
    const own = existsSync(model) ? modelFiles(model) : new Map<string, Uint8Array>();
    assets = new Map([...wasmFiles(), ...(await samples()), ...own]);
  };
  return {
    name: 'rass-page-assets',
    async buildStart() {
      await collect();
      if (!existsSync(model))
        this.warn(`${model}: the site has a model; got no folder there; put one at model/ where it is served`);
    },
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        for (const [fileName, source] of assets) this.emitFile({ type: 'asset', fileName, source });
        const kept = [...Object.keys(bundle), ...assets.keys()].filter(
          (name) => !name.startsWith('model/') && !name.endsWith('.html'),
        );
        const contents = Object.values(bundle).map((each) => (each.type === 'chunk' ? each.code : each.source));
        const hash = createHash('sha256');
        for (const each of contents) hash.update(each);
        const lead = `const FILES = ${JSON.stringify(['./', ...kept.sort()])};\nconst VERSION = '${hash.digest('hex').slice(0, 16)}';\n`;
        const source = lead + readFileSync(new URL('sw.js', import.meta.url), 'utf8');
        this.emitFile({ type: 'asset', fileName: 'sw.js', source });
      },
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = new URL(request.url ?? '/', 'http://localhost').pathname.slice(1);
        const found = assets.get(path);
        if (found === undefined) return next();
        response.setHeader('content-type', TYPES[path.split('.').at(-1)!] ?? 'application/octet-stream');
        response.end(found);
      });
    },
  };
}
