import { isNode } from '../environment.ts';
import { BackendError } from '../errors.ts';
import { nodeEntry } from '../node-entry.ts';
import type { WebgpuOptions } from '../types.ts';

/** Names by which software renderers present themselves. */
const SOFTWARE = /\b(swiftshader|llvmpipe|lavapipe|softpipe|warp|software|cpu)\b|basic render/i;

/** The strings with which an adapter presents itself; absent ones are empty. */
export interface AdapterNames {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  isFallbackAdapter: boolean;
}

/** What an adapter says of itself, whichever of the specification's versions it follows. */
export function adapterNames(adapter: GPUAdapter): AdapterNames {
  const info: Partial<AdapterNames> = adapter.info ?? {};
  const older = adapter as { isFallbackAdapter?: boolean };
  return {
    vendor: info.vendor ?? '',
    architecture: info.architecture ?? '',
    device: info.device ?? '',
    description: info.description ?? '',
    isFallbackAdapter: info.isFallbackAdapter ?? older.isFallbackAdapter ?? false,
  };
}

/** Whether an adapter is a program on the CPU: slower than wasm, and right only for tests. */
export function isSoftwareAdapter(names: AdapterNames): boolean {
  const texts = [names.vendor, names.architecture, names.device, names.description];
  return names.isFallbackAdapter || texts.some((text) => SOFTWARE.test(text));
}

/** The adapter's name for people. */
export function adapterTitle(names: AdapterNames): string {
  return names.description || [names.vendor, names.architecture || names.device].filter(Boolean).join(' ') || 'a GPU';
}

/** Asks the browser, or Dawn in Node, for an adapter. @throws BackendError not-installed, unsupported or no-device */
export async function requestAdapter(options: WebgpuOptions = {}): Promise<GPUAdapter> {
  const { powerPreference = 'high-performance' } = options;
  const gpu = isNode() ? await (await nodeEntry()).createDawn(options.dawn) : globalThis.navigator?.gpu;
  if (!gpu) {
    throw new BackendError(
      'unsupported',
      'webgpu backend: the browser must have WebGPU; navigator.gpu is absent here; use a current browser and a secure page (https or localhost), or choose wasm',
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (adapter) return adapter;
  const remedy = isNode()
    ? "install a Vulkan driver (Debian and Ubuntu: `apt-get install libvulkan1 mesa-vulkan-drivers`, or your GPU vendor's)"
    : "enable the browser's hardware acceleration or update the GPU driver";
  throw new BackendError('no-device', `webgpu backend: a GPU adapter must be there; none is offered; ${remedy}`);
}
