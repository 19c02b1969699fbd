import { describeCpu } from './cpu.ts';
import { messageOf } from './errors.ts';
import { inspectNative } from './native.ts';
import { checkSelectOptions } from './select-options.ts';
import { BACKEND_NAMES, type BackendInfo, type BackendName, type BackendStatus, type SelectOptions } from './types.ts';
import { describeWasm } from './wasm.ts';
import { inspectWebgpu } from './webgpu/load.ts';

function inspect(name: BackendName, options: SelectOptions): Promise<BackendInfo> {
  switch (name) {
    case 'native':
      return inspectNative(options.cacheDir);
    case 'webgpu':
      return inspectWebgpu(options.webgpu);
    case 'wasm':
      return describeWasm(options.wasm?.threads);
    case 'cpu':
      return describeCpu();
  }
}

/** Says of each backend what it can do on this machine, or why it cannot be had and what to install. Starts none. */
export async function listBackends(options: SelectOptions = {}): Promise<BackendStatus[]> {
  checkSelectOptions('listBackends', options);
  const statuses: BackendStatus[] = [];
  for (const name of BACKEND_NAMES) {
    try {
      const { engineName: _engineName, ...info } = await inspect(name, options);
      statuses.push({ available: true, ...info });
    } catch (error) {
      statuses.push({ available: false, name, reason: messageOf(error) });
    }
  }
  return statuses;
}
