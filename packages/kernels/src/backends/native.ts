import { isNode } from './environment.ts';
import { BackendError } from './errors.ts';
import { nodeEntry } from './node-entry.ts';
import type { BackendInfo } from './types.ts';

function requireNode(): void {
  if (isNode()) return;
  throw new BackendError(
    'unsupported',
    'native backend: it runs in Node; this is a browser; choose webgpu, wasm or auto',
  );
}

/** Loads native TensorFlow. @throws BackendError not-installed, not-built, load-failed or unsupported */
export async function loadNative(cacheDir?: string): Promise<BackendInfo> {
  requireNode();
  const { describeNative, loadNativeBackend } = await nodeEntry();
  return describeNative(loadNativeBackend(cacheDir));
}

/** What the native backend is here; the library is opened, but no backend started. @throws BackendError */
export async function inspectNative(cacheDir?: string): Promise<BackendInfo> {
  requireNode();
  const { describeNative, inspectNativeBackend } = await nodeEntry();
  return describeNative(inspectNativeBackend(cacheDir));
}
