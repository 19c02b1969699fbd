import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BackendError } from '../errors.ts';
import { addonPath, nativeFolder, writeCurrent } from './cache.ts';
import { compileAddon, findCompiler } from './compile.ts';
import type { Downloader } from './fetch-wheels.ts';
import { provideLibrary } from './library.ts';
import { findAddon } from './load.ts';
import { withLock } from './lock.ts';
import type { InstallProgress } from './progress.ts';
import { bindingPackage, buildKey } from './sources.ts';
import { type Verified, verifyAddon } from './verify.ts';
import { DEFAULT_CPU_VERSION, DEFAULT_GPU_VERSION } from './wheels.ts';

/** How the native backend is to be installed; everything has a default. */
export interface InstallOptions {
  /** Take TensorFlow's CUDA 12 build and NVIDIA's libraries (about 3.4 GB to download). */
  gpu?: boolean;
  /** Version of the TensorFlow wheel. */
  version?: string;
  /** Wheel files already at hand: nothing is downloaded. */
  wheel?: string | readonly string[];
  /** A wheel's unpacked `tensorflow/` folder already at hand: nothing is downloaded or unpacked. */
  libraryDir?: string;
  cacheDir?: string;
  /** Never use the network. */
  offline?: boolean;
  /** Do everything again, even where the cache has it. */
  force?: boolean;
  /** Package index; default PIP_INDEX_URL, pip's own settings, or the public one. */
  indexUrl?: string;
  downloader?: Downloader;
  onProgress?: (progress: InstallProgress) => void;
}

/** A finished install. */
export interface NativeInstall extends Verified {
  addon: string;
  libraryFolder: string;
  /** False where the cache already had it. */
  built: boolean;
  seconds: number;
}

/** @throws BackendError unsupported, on a system that TensorFlow's wheel is not for */
export function checkPlatform(platform: string = process.platform, arch: string = process.arch): void {
  if (platform === 'linux' && arch === 'x64') return;
  throw new BackendError(
    'unsupported',
    `backend install: the native backend is built on Linux x64; this is ${platform} ${arch}; ` +
      "use the webgpu or wasm backend, or tfjs-node's own installer",
  );
}

/** Whether the native backend is there and as new as its sources; loads nothing. */
export function isNativeInstalled(cacheDir?: string): boolean {
  try {
    findAddon(cacheDir);
    return true;
  } catch {
    return false;
  }
}

/** Gives Node the native backend: fetches TensorFlow's library from its Python wheel, compiles the addon of
 * @tensorflow/tfjs-node against it, and runs it once in a process of its own. What the cache has is not done again.
 * @throws BackendError with what to do about it */
export async function installNativeBackend(options: InstallOptions = {}): Promise<NativeInstall> {
  checkPlatform();
  const start = Date.now();
  const { gpu = false, cacheDir, force = false, onProgress = () => {} } = options;
  const version = options.version ?? (gpu ? DEFAULT_GPU_VERSION : DEFAULT_CPU_VERSION);
  const binding = bindingPackage();
  const onWait = (pid: number | undefined) => onProgress({ stage: 'wait', what: `process ${pid ?? '?'}`, done: 0 });
  return withLock(join(nativeFolder(cacheDir), '.lock'), install, { onWait });

  async function install(): Promise<NativeInstall> {
    const key = buildKey(binding);
    // Before the download: a missing compiler should not cost 200 MB first.
    await findCompiler();
    const library = await provideLibrary({ ...options, version, gpu, force, onProgress });
    const addon = addonPath(library.id, key, cacheDir);
    const built = force || library.isNew || !existsSync(addon);
    if (built) {
      mkdirSync(dirname(addon), { recursive: true });
      await compileAddon(binding, library.libraryFolder, addon, (done, total, what) =>
        onProgress({ stage: 'compile', what, done, total }),
      );
    }
    onProgress({ stage: 'verify', what: addon, done: 0 });
    const verified = await verifyAddon(addon);
    const { isNew: _isNew, ...current } = library;
    writeCurrent({ ...current, version: verified.version }, cacheDir);
    const seconds = (Date.now() - start) / 1000;
    return { ...verified, addon, libraryFolder: library.libraryFolder, built, seconds };
  }
}
