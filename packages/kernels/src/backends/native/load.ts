import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import util from 'node:util';
import { findBackend, findBackendFactory, type KernelBackend, registerBackend } from '@tensorflow/tfjs-core';
import { type NativeOperations, registerNativeOperations } from '../../native-ops/register.ts';
import { BackendError, messageOf } from '../errors.ts';
import type { BackendInfo } from '../types.ts';
import { addonPath, readCurrent } from './cache.ts';
import { type BindingPackage, bindingPackages, buildKey, GPU_PACKAGE, packageFolder } from './sources.ts';
import { uploadingAtOnce } from './upload.ts';

/** The name under which TensorFlow.js knows the native backend. */
export const NATIVE_BACKEND = 'tensorflow';

/** The native addon as it is found on disk, before anything is loaded. */
export interface FoundAddon {
  addon: string;
  binding: BindingPackage;
  /** `environment` RASS_NATIVE_ADDON, `cache` what `rass backend install` built, `package` the build of tfjs-node or tfjs-node-gpu itself,
   * `program` what the program has loaded already, by importing one of them. */
  from: 'environment' | 'cache' | 'package' | 'program';
}

/** What the loaded library says of itself. */
export interface NativeInfo extends FoundAddon {
  /** TensorFlow's version. */
  version: string;
  device: 'cpu' | 'gpu';
  /** A build that would have been taken before this one and cannot be loaded, with the loader's line. */
  passedOver?: string;
}

interface NativeBinding extends NativeOperations {
  TF_Version: string;
  isUsingGpuDevice: () => boolean;
}

const ORIGIN = {
  environment: 'addon named by RASS_NATIVE_ADDON',
  cache: 'addon built by rass backend install',
  package: 'addon of the npm package',
  program: 'the npm package that the program imports',
} as const;

const INSTALL = 'run `rass backend install`';

function packageBuild(binding: BindingPackage): string | undefined {
  const lib = join(binding.folder, 'lib');
  if (!existsSync(lib)) return undefined;
  const files = readdirSync(lib).map((folder) => join(lib, folder, 'tfjs_binding.node'));
  return files.find((file) => existsSync(file));
}

/** The addon in the cache and those of the packages themselves, the best first: what computes on a GPU, then what we have built. */
function builds(packages: readonly BindingPackage[], cacheDir?: string): FoundAddon[] {
  const current = readCurrent(cacheDir);
  const own = packages.flatMap((binding) => {
    const addon = packageBuild(binding);
    return addon === undefined ? [] : [{ addon, binding, from: 'package' as const }];
  });
  const cached = packages
    .map((binding) => ({ binding, addon: current && addonPath(current.id, buildKey(binding), cacheDir) }))
    .flatMap(({ binding, addon }) => (addon && existsSync(addon) ? [{ addon, binding, from: 'cache' as const }] : []))
    .slice(0, 1);
  const onGpu = own.filter(({ binding }) => binding.name === GPU_PACKAGE);
  const onCpu = own.filter(({ binding }) => binding.name !== GPU_PACKAGE);
  return current?.gpu ? [...cached, ...onGpu, ...onCpu] : [...onGpu, ...cached, ...onCpu];
}

/** Finds the addon without loading it. @throws BackendError not-installed or not-built, with what to run */
export function findAddon(cacheDir?: string, find = packageFolder): FoundAddon {
  const packages = bindingPackages(find);
  const [binding] = packages;
  const named = process.env['RASS_NATIVE_ADDON'];
  if (named) {
    if (existsSync(named)) return { addon: named, binding, from: 'environment' };
    throw new BackendError(
      'not-built',
      `native backend: RASS_NATIVE_ADDON must name an addon file; "${named}" does not exist; unset it or correct it`,
    );
  }
  const [best] = builds(packages, cacheDir);
  if (best !== undefined) return best;
  const state =
    readCurrent(cacheDir) === undefined ? 'it was never built' : `the one in the cache is older than its sources`;
  throw new BackendError('not-built', `native backend: ${binding.name} needs its native addon; ${state}; ${INSTALL}`);
}

/** Node 23 removed two functions of node:util that the binding's JavaScript calls in every op. */
function restoreUtilFunctions(): void {
  const removed: Record<string, (value: unknown) => boolean> = {
    isNullOrUndefined: (value) => value === null || value === undefined,
    isArray: Array.isArray,
  };
  for (const [name, value] of Object.entries(removed)) {
    Object.defineProperty(util, name, { value, configurable: true, writable: true });
  }
}

/** What TensorFlow reads as it is loaded, where nothing else is asked for. */
function setDefaults(): void {
  // It prints its CPU features at every start; errors still show.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  // By itself TensorFlow uses oneDNN's kernels only on CPUs with AVX-512 VNNI; with AVX2 alone they are faster, too.
  process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
}

/** Loads the addon file alone. @throws BackendError load-failed with the loader's own line */
export function openAddon(addon: string): NativeBinding {
  setDefaults();
  try {
    return createRequire(import.meta.url)(addon) as NativeBinding;
  } catch (error) {
    throw new BackendError(
      'load-failed',
      `native backend: the system must be able to load the addon; it said "${messageOf(error).split('\n')[0]}"; ` +
        'run `rass backend install --force`',
      { cause: error },
    );
  }
}

/** The first build that the system can load. @throws BackendError load-failed, of the first, where it can load none */
export function openFirst(found: readonly FoundAddon[]): {
  opened: FoundAddon;
  binding: NativeBinding;
  passedOver?: string;
} {
  let failed: BackendError | undefined;
  for (const opened of found) {
    try {
      const binding = openAddon(opened.addon);
      return { opened, binding, ...(failed && { passedOver: failed.message }) };
    } catch (error) {
      failed ??= error as BackendError;
    }
  }
  throw failed;
}

/** Whether this module has registered the backend; a program that has imported tfjs-node itself has it without us. */
let registered = false;

/** The backend that the program has loaded by itself; a second library in one process would be another TensorFlow beside it. */
function loadedByProgram(): { info: NativeInfo; binding: NativeBinding } | undefined {
  if (registered || !findBackendFactory(NATIVE_BACKEND)) return undefined;
  // TensorFlow.js gives none where the backend fails to start, or is not ready yet.
  const theirs = findBackend(NATIVE_BACKEND) as unknown as { binding: NativeBinding } | null | undefined;
  if (!theirs?.binding) {
    throw new BackendError(
      'load-failed',
      `native backend: the backend "${NATIVE_BACKEND}" that the program has registered must start; it did not, TensorFlow.js's warning says why; ` +
        'leave out the import that registers it, such as that of @tensorflow/tfjs-node',
    );
  }
  const { binding } = theirs;
  const device = binding.isUsingGpuDevice() ? 'gpu' : 'cpu';
  const [first] = bindingPackages();
  return { info: { addon: '', binding: first, from: 'program', version: binding.TF_Version, device }, binding };
}

function loadBinding(cacheDir?: string): { info: NativeInfo; binding: NativeBinding } {
  const theirs = loadedByProgram();
  if (theirs !== undefined) return theirs;
  const found = findAddon(cacheDir);
  const others = found.from === 'environment' ? [] : builds(bindingPackages(), cacheDir).slice(1);
  const { opened, binding, passedOver } = openFirst([found, ...others]);
  const device = binding.isUsingGpuDevice() ? 'gpu' : 'cpu';
  return { info: { ...opened, version: binding.TF_Version, device, ...(passedOver && { passedOver }) }, binding };
}

/** Opens the library and says what it is, without starting a backend. @throws BackendError as loadNativeBackend */
export function inspectNativeBackend(cacheDir?: string): NativeInfo {
  return loadBinding(cacheDir).info;
}

/** Loads native TensorFlow and registers it as `tensorflow`, without making it current. Nothing is written into
 * node_modules, and the package's own entry, which looks for its addon there, is not run.
 * @throws BackendError not-installed, not-built or load-failed */
export function loadNativeBackend(cacheDir?: string): NativeInfo {
  const { info, binding } = loadBinding(cacheDir);
  restoreUtilFunctions();
  if (info.from === 'program') registerNativeOperations(binding, info.device);
  if (!findBackendFactory(NATIVE_BACKEND)) {
    const require = createRequire(join(info.binding.folder, 'package.json'));
    require('./dist/register_all_kernels');
    const { NodeJSKernelBackend } = require('./dist/nodejs_kernel_backend') as {
      NodeJSKernelBackend: new (addon: NativeBinding, name: string) => KernelBackend;
    };
    // The name decides only whether Conv3D refuses dilation, which depends on the device, not on the npm package.
    const name = info.device === 'gpu' ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node';
    const Backend = uploadingAtOnce(NodeJSKernelBackend);
    registerBackend(NATIVE_BACKEND, () => new Backend(binding, name), 3);
    registerNativeOperations(binding, info.device);
    registered = true;
  }
  return info;
}

/** The same facts in the form that every backend has. */
export function describeNative(info: NativeInfo): BackendInfo {
  const cuda = info.device === 'gpu';
  return {
    name: 'native',
    engineName: NATIVE_BACKEND,
    description: `TensorFlow ${info.version} on ${cuda ? 'a CUDA GPU' : 'the CPU'} (${ORIGIN[info.from]})${
      info.passedOver === undefined ? '' : `; a build that comes before it was passed over: ${info.passedOver}`
    }`,
    device: info.device,
    version: info.version,
    capabilities: cuda ? {} : { threads: availableParallelism() },
  };
}
