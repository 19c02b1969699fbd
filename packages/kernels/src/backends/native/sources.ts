import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackendError } from '../errors.ts';

/** Its own installer brings TensorFlow's CUDA library. */
export const GPU_PACKAGE = '@tensorflow/tfjs-node-gpu';

/** Either package holds the same C++ and JavaScript; the library that the addon is linked with decides about CUDA. */
const BINDING_PACKAGES = [GPU_PACKAGE, '@tensorflow/tfjs-node'] as const;

/** The installed package that holds the binding's sources and kernels. */
export interface BindingPackage {
  name: string;
  version: string;
  folder: string;
}

/** Flags of every compilation; part of the build key. */
export const COMPILE_FLAGS = [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-DNAPI_VERSION=8',
  '-DBUILDING_NODE_EXTENSION',
  '-DNODE_GYP_MODULE_NAME=tfjs_binding',
] as const;

/** Resolves a package from this module, then from the working directory, to its folder. */
export function packageFolder(name: string): string | undefined {
  for (const from of [import.meta.url, join(process.cwd(), 'noop.js')]) {
    try {
      return realpathSync(dirname(createRequire(from).resolve(`${name}/package.json`)));
    } catch {
      // Not installed as seen from there.
    }
  }
  return undefined;
}

/** The installed ones of @tensorflow/tfjs-node-gpu and @tensorflow/tfjs-node, at least one. @throws BackendError not-installed */
export function bindingPackages(
  find: (name: string) => string | undefined = packageFolder,
): [BindingPackage, ...BindingPackage[]] {
  const [first, ...others] = BINDING_PACKAGES.flatMap((name): BindingPackage[] => {
    const folder = find(name);
    if (folder === undefined) return [];
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
    return [{ name, version, folder }];
  });
  if (first !== undefined) return [first, ...others];
  throw new BackendError(
    'not-installed',
    'native backend: the package @tensorflow/tfjs-node must be installed; it is not found; ' +
      'run `npm install --ignore-scripts @tensorflow/tfjs-node@4.22.0`, then `rass backend install`',
  );
}

/** The first of them. @throws BackendError not-installed */
export const bindingPackage = (find?: (name: string) => string | undefined): BindingPackage => bindingPackages(find)[0];

/** This package's own C++ folder, which sits beside src/ and dist/ alike. */
const OWN_FOLDER = fileURLToPath(new URL('../../../native/', import.meta.url));

function filesWith(folder: string, ending: RegExp): string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => ending.test(name));
  return names.sort().map((name) => join(folder, name));
}

/** The C++ files of the addon: the binding of tfjs-node and every .cc of this package. */
export function addonSources(binding: BindingPackage): string[] {
  const own = filesWith(OWN_FOLDER, /\.cc$/);
  return [join(binding.folder, 'binding/tfjs_backend.cc'), join(binding.folder, 'binding/tfjs_binding.cc'), ...own];
}

/** Names a build: it changes with any source, header or flag, so that a stale addon is never loaded. */
export function buildKey(binding: BindingPackage): string {
  const hash = createHash('sha256').update(COMPILE_FLAGS.join(' '));
  const headers = [...filesWith(join(binding.folder, 'binding'), /\.h$/), ...filesWith(OWN_FOLDER, /\.(h|inc)$/)];
  for (const file of [...addonSources(binding), ...headers]) {
    hash.update(`\n${basename(file)}\n`).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}
