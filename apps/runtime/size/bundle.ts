import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Bytes of what is loaded: minified, and as servers send it. */
export interface Size {
  readonly minified: number;
  readonly gzipped: number;
}

export const plus = (a: Size, b: Size): Size => ({
  minified: a.minified + b.minified,
  gzipped: a.gzipped + b.gzipped,
});

export const minus = (a: Size, b: Size): Size => plus(a, { minified: -b.minified, gzipped: -b.gzipped });

const total = (sizes: Iterable<Size>): Size => [...sizes].reduce(plus, { minified: 0, gzipped: 0 });

interface Chunk extends Size {
  readonly file: string;
  /** Of the file that is loaded by its address. */
  readonly isEntry: boolean;
  /** The module that it is loaded for, where it is loaded by import(). */
  readonly lazy: string | undefined;
  readonly imports: readonly string[];
}

/** What one side of the runtime loads, the page or the worker. */
export class Bundle {
  readonly #chunks = new Map<string, Chunk>();

  /** A plugin that fills this from a build. */
  get plugin(): Plugin {
    return {
      name: 'rass-size',
      generateBundle: (_, output) => {
        for (const each of Object.values(output)) {
          if (each.type !== 'chunk') continue;
          const { fileName: file, code, imports, isEntry, isDynamicEntry, facadeModuleId } = each;
          const lazy = isDynamicEntry ? (facadeModuleId ?? file) : undefined;
          const size = { minified: Buffer.byteLength(code), gzipped: gzipSync(code).length };
          this.#chunks.set(file, { file, isEntry, lazy, imports, ...size });
        }
      },
    };
  }

  #withImports(chunks: Iterable<Chunk>, found = new Set<Chunk>()): Set<Chunk> {
    for (const chunk of chunks) {
      if (found.has(chunk)) continue;
      found.add(chunk);
      // What is not among the chunks is external.
      const imported = chunk.imports.flatMap((file) => this.#chunks.get(file) ?? []);
      this.#withImports(imported, found);
    }
    return found;
  }

  get #first(): Set<Chunk> {
    return this.#withImports([...this.#chunks.values()].filter(({ isEntry }) => isEntry));
  }

  /** What is there before anything is asked for: the entry, with all that it imports. */
  get first(): Size {
    return total(this.#first);
  }

  /** The modules that are loaded when they are asked for. */
  get lazy(): string[] {
    return [...this.#chunks.values()].flatMap(({ lazy }) => lazy ?? []);
  }

  /** What comes with these modules, beside what is there at first and with the others. */
  later(modules: readonly string[], others: readonly string[] = []): Size {
    const loadedFor = (some: readonly string[]) =>
      [...this.#chunks.values()].filter(({ lazy }) => lazy !== undefined && some.includes(lazy));
    const there = this.#withImports(loadedFor(others), this.#first);
    return total([...this.#withImports(loadedFor(modules))].filter((chunk) => !there.has(chunk)));
  }
}

const ENTRY = 'virtual:product';

/** A product of these lines. */
const product = (source: string): Plugin => ({
  name: 'rass-product',
  resolveId: (id) => (id === ENTRY ? id : undefined),
  load: (id) => (id === ENTRY ? source : undefined),
});

interface Bundling {
  readonly source: string;
  readonly external: readonly RegExp[];
}

/** Builds a page as a product's own Vite would. */
async function bundle({ source, external }: Bundling): Promise<{ page: Bundle; worker: Bundle }> {
  const [page, worker] = [new Bundle(), new Bundle()];
  await build({
    configFile: false,
    root: at('..'),
    logLevel: 'error',
    plugins: [product(source), page.plugin],
    worker: { format: 'es', plugins: () => [worker.plugin], rolldownOptions: { external: [...external] } },
    build: { write: false, target: 'es2022', rolldownOptions: { input: ENTRY, external: [...external] } },
  });
  return { page, worker };
}

/** A page that opens a runtime and does nothing else, with or without TensorFlow.js in it. */
export const bundleRuntime = ({ tensorflow }: { readonly tensorflow: boolean }): ReturnType<typeof bundle> =>
  bundle({
    source: `import { createRuntime } from ${JSON.stringify(at('../src/index.ts'))};\nglobalThis.open = createRuntime;`,
    external: tensorflow ? [] : [/^@tensorflow\//],
  });

/** A backend of TensorFlow.js, beside its core. */
export async function bundleBackend(name: string): Promise<Size> {
  const source = `import * as backend from '${name}';\nglobalThis.backend = backend;`;
  return (await bundle({ source, external: [/^@tensorflow\/tfjs-core/] })).page.first;
}
