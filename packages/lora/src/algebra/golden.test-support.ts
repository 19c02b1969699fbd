import type { Golden } from '@rass/testkit';
import type { HostTensor } from '../state.ts';

export function host(g: Golden, name: string): HostTensor {
  const { shape, values } = g.raw(name);
  return { shape, data: values as Float32Array<ArrayBuffer> };
}
