import type { Golden } from '@rass/testkit';
import type { HostTensor, LayerUpdate } from '../state.ts';

export function host(g: Golden, name: string): HostTensor {
  const { shape, values } = g.raw(name);
  return { shape, data: values as Float32Array<ArrayBuffer> };
}

/** One layer of peft's LoHa or LoKr. */
export function otherUpdate(g: Golden, at: string, alpha: number): LayerUpdate {
  const read = (name: string): HostTensor | undefined =>
    g.has(`${at}/${name}`) ? host(g, `${at}/${name}`) : undefined;
  const part = (name: string, t: string) => ({
    a: read(`${name}_a`) as HostTensor,
    b: read(`${name}_b`) as HostTensor,
    t: read(t),
  });
  if (at.includes('loha'))
    return { kind: 'loha', w1: part('hada_w1', 'hada_t1'), w2: part('hada_w2', 'hada_t2'), alpha };
  return {
    kind: 'lokr',
    w1: read('lokr_w1') ?? part('lokr_w1', ''),
    w2: read('lokr_w2') ?? part('lokr_w2', 'lokr_t2'),
    alpha,
  };
}
