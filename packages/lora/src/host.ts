import type { Conv2d } from '@rass/nn';
import { toHwio, toOihw } from '@rass/weights';
import { keep, type Tensor, type Tensor1D, type Tensor2D, tensor } from '@tensorflow/tfjs-core';
import type { Factors, LoraLayer } from './shares.ts';
import type { HostTensor, LoraUpdate } from './state.ts';

/** A tensor as checkpoints have it: convolutions [O, I, Kh, Kw], with `transposed` an embedding's factor the other way round. */
export async function toHost(value: Tensor, turn: 'conv2d' | 'transposed' | 'same'): Promise<HostTensor> {
  const data = (await value.data()) as Float32Array<ArrayBuffer>;
  if (turn === 'same') return { shape: [...value.shape], data: data.slice() };
  if (turn === 'conv2d') {
    const [rows, columns, inputs, outputs] = value.shape;
    return { shape: [outputs, inputs, rows, columns], data: toOihw(data, value.shape) };
  }
  return transposed({ shape: value.shape, data });
}

function transposed({ shape: [rows, columns], data }: HostTensor): HostTensor {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j];
  return { shape: [columns, rows], data: out };
}

/** A kept tensor of the backend, convolutions [Kh, Kw, I, O]. */
export function toTensor({ shape, data }: HostTensor, isConvolution: boolean): Tensor {
  if (!isConvolution) return keep(tensor(data, [...shape]));
  const [outputs, inputs, rows, columns] = shape;
  return keep(tensor(toHwio(data, shape), [rows, columns, inputs, outputs]));
}

/** The factors of an update as leaves, in tensors of their own. */
export function hostFactors(layer: LoraLayer, { down, up, upBias }: LoraUpdate, name: string): Factors {
  const path = (which: string): string => `${layer.path}.${which}.${name}`;
  const bias = upBias && { bias: toTensor(upBias, false) as Tensor1D };
  if (layer.kind === 'embedding') {
    const value = (host: HostTensor) => toTensor(host, false) as Tensor2D;
    return {
      kind: 'embedding',
      down: { kind: 'parameter', path: path('lora_embedding_A'), value: value(transposed(down)) },
      up: { kind: 'parameter', path: path('lora_embedding_B'), value: value(up) },
    };
  }
  if (layer.kind === 'linear') {
    const leaf = (which: string, host: HostTensor) => ({
      kind: 'linear' as const,
      path: path(which),
      weight: toTensor(host, false) as Tensor2D,
    });
    return { kind: 'linear', down: leaf('lora_A', down), up: { ...leaf('lora_B', up), ...bias } };
  }
  const { stride, padding } = layer;
  const leaf = (which: string, host: HostTensor, geometry: Pick<Conv2d, 'stride' | 'padding'>): Conv2d => ({
    kind: 'conv2d',
    path: path(which),
    weight: toTensor(host, true) as Conv2d['weight'],
    ...geometry,
  });
  return {
    kind: 'conv2d',
    down: leaf('lora_A', down, { stride, padding }),
    up: { ...leaf('lora_B', up, { stride: 1, padding: 0 }), ...bias },
  };
}
