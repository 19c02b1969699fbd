import { BackendError, messageOf } from '../errors.ts';
import type { WebgpuOptions } from '../types.ts';

/** Features that our shaders use where a device has them. */
const WANTED_FEATURES = ['shader-f16', 'subgroups', 'timestamp-query', 'bgra8unorm-storage'] as const;

/** All limits of an adapter or device as a plain object; WebGPU keeps them on a prototype. */
export function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name in limits) {
    const value = (limits as unknown as Record<string, unknown>)[name];
    if (typeof value === 'number') found[name] = value;
  }
  return found;
}

/** The limits that we keep to: the device's, or smaller ones that the user named. WebGPU raises a request for less
 * than the specification's defaults, so a small device can only be tried by keeping to its limits ourselves. */
export function effectiveLimits(device: GPUDevice, asked: WebgpuOptions['limits'] = {}): Record<string, number> {
  const limits = limitsOf(device.limits);
  for (const [name, value] of Object.entries(asked)) limits[name] = Math.min(limits[name] ?? value, value);
  return limits;
}

/** `enable f16;` must open a shader, but TensorFlow.js puts its own declarations before a program's code. */
function hoistEnableDirectives(device: GPUDevice): void {
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    const directives = descriptor.code.match(/^[ \t]*enable [\w, ]+;/gm);
    if (directives === null) return create(descriptor);
    const rest = descriptor.code.replace(/^[ \t]*enable [\w, ]+;/gm, '');
    return create({ ...descriptor, code: `${[...new Set(directives)].join('\n')}\n${rest}` });
  };
}

/** Opens a device with everything that the adapter has: its limits and the features that our shaders use. The
 * defaults of the specification would cap a tensor at 128 MiB and a shader at 8 storage buffers.
 * @throws BackendError no-device when the adapter refuses, e.g. limits beyond its own */
export async function requestDevice(adapter: GPUAdapter, options: WebgpuOptions = {}): Promise<GPUDevice> {
  const available = limitsOf(adapter.limits);
  for (const name of Object.keys(options.limits ?? {})) {
    if (name in available) continue;
    throw new BackendError(
      'no-device',
      `webgpu backend: the option limits must name limits of WebGPU; got "${name}"; the names are ${Object.keys(available).join(', ')}`,
    );
  }
  const requiredLimits = { ...available, ...options.limits };
  const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  try {
    const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
    hoistEnableDirectives(device);
    return device;
  } catch (error) {
    throw new BackendError(
      'no-device',
      `webgpu backend: the adapter must grant a device; it said "${messageOf(error).replace(/\s+/g, ' ').trim()}"; ask for smaller limits, or choose another backend`,
      { cause: error },
    );
  }
}
