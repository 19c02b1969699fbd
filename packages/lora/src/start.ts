import type { Conv2d, Layer, Linear } from '@rass/nn';
import { add, keep, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import type { LoraConfig } from './config.ts';
import { hostFactors, toHost, toTensor } from './host.ts';
import { product, scaleFor } from './product.ts';
import type { Factors, LoraLayer, Share } from './shares.ts';
import type { HostTensor, LoraUpdate } from './state.ts';

/** Whether the factors start from something else than independent random numbers. */
export function startsFromWeight({ init = 'default' }: LoraConfig): boolean {
  return init !== 'default' && init !== 'gaussian';
}

export interface StartedLayer {
  readonly factors: Factors;
  /** The factors as they started, where they were taken out of the weight. */
  readonly start?: Factors;
  /** The weight without them; the layer's own where nothing was taken out. */
  readonly weight: Linear['weight'] | Conv2d['weight'];
}

/** PiSSA's, OLoRA's or orthogonal factors for a layer. @throws where the layer's kind has no such start */
export async function startFromWeight(
  layer: LoraLayer,
  share: Share,
  name: string,
  seed: number,
): Promise<StartedLayer> {
  const { config, rank, alpha } = share;
  const scale = scaleFor(alpha, rank, config.rsLora);
  // Decompositions weigh more than all the rest of the package, and most adapters start without.
  const { oloraStart, orthogonalStart, pissaStart } = await import('./algebra/starts.ts');
  const init = config.init ?? 'default';
  const what = typeof init === 'object' ? 'pissa' : init;
  if (layer.kind === 'embedding') {
    throw new Error(
      `lora: ${layer.path}: embeddings start by default or gaussian; got ${what}; leave the layer out, or choose another init`,
    );
  }
  const weight = await toHost(layer.weight as Tensor, layer.kind === 'conv2d' ? 'conv2d' : 'same');
  if (what === 'orthogonal') {
    const { down, up } = orthogonalStart(weight.shape, rank, seed, layer.path);
    return { factors: hostFactors(layer, { kind: 'lora', down, up, alpha }, name), weight: layer.weight };
  }
  const iterations = typeof init === 'object' ? init.pissaIterations : undefined;
  const started = what === 'olora' ? oloraStart(weight, rank, scale) : pissaStart(weight, rank, scale, iterations);
  const update: LoraUpdate = { kind: 'lora', down: started.down, up: started.up, alpha };
  return {
    factors: hostFactors(layer, update, name),
    start: hostFactors(layer, update, `${name}.start`),
    weight: toTensor(started.residual, layer.kind === 'conv2d') as Linear['weight'],
  };
}

/** The weight with what a start took out of it, in a tensor of its own. */
export function restoredWeight(layer: Layer, { start, alpha, rank, config }: Share): Tensor {
  const scale = scaleFor(alpha, rank, config.rsLora);
  return keep(tidy(() => add(layer.weight as Tensor, mul(product(start as Factors), scale))));
}

/** Rows of both, one after the other. */
function stacked(a: HostTensor, b: HostTensor): HostTensor {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { shape: [a.shape[0] + b.shape[0], ...a.shape.slice(1)], data };
}

/** Columns of both, the second negated. */
function besideNegated(a: HostTensor, b: HostTensor): HostTensor {
  const [rows, rank, ...ones] = a.shape;
  const data = new Float32Array(2 * a.data.length);
  for (let i = 0; i < rows; i++) {
    for (let r = 0; r < rank; r++) {
      data[2 * i * rank + r] = a.data[i * rank + r];
      data[(2 * i + 1) * rank + r] = -b.data[i * rank + r];
    }
  }
  return { shape: [rows, 2 * rank, ...ones], data };
}

/** The update of the original weight: up down - up0 down0 at twice the rank and the same scale. @source peft subtract_mutated_init */
export function withoutStart(
  update: LoraUpdate,
  start: Pick<LoraUpdate, 'down' | 'up'>,
  { rsLora }: LoraConfig,
): LoraUpdate {
  return {
    ...update,
    down: stacked(update.down, start.down),
    up: besideNegated(update.up, start.up),
    alpha: update.alpha * (rsLora ? Math.SQRT2 : 2),
  };
}
