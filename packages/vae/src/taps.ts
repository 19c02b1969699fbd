import { closest, shapeParams } from '@rass/nn';
import { concat, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { VaeConfig } from './config.ts';
import { vaeParams } from './params.ts';
import { channelsOf, decoderStages, encoderStages, type Stage } from './stages.ts';
import type { Held } from './work.ts';

/** A feature map that vaeEncode or vaeDecode can hand out. */
export interface TapName {
  /** diffusers' path: `encoder.down_blocks.1`. */
  readonly name: string;
  /** How often the image's rows and columns have been halved there. */
  readonly level: number;
  readonly channels: number;
}

/** Every feature map that can be asked for, in the order of the computation, the decoder's after the encoder's. */
export function tapNames(config: VaeConfig): TapName[] {
  const vae = vaeParams(shapeParams(), config);
  let level = 0;
  return [...encoderStages(vae), ...decoderStages(vae)].flatMap(({ layer, paths }) => {
    if (layer.kind === 'upsample') level -= 1;
    if (layer.kind === 'conv' && layer.conv.stride === 2) level += 1;
    return paths.map((name) => ({ name, level, channels: channelsOf(layer)[1] }));
  });
}

/** Collects the outputs of the modules that were asked for by name. */
export class Taps {
  readonly #wanted: ReadonlySet<string>;
  readonly #found = new Map<string, Tensor4D[]>();
  readonly #held: Held;

  /** @throws when a name is not among the stages' */
  constructor(where: string, wanted: readonly string[], stages: readonly Stage[], held: Held) {
    const names = stages.flatMap(({ paths }) => paths);
    const unknown = wanted.find((name) => !names.includes(name));
    if (unknown !== undefined) {
      const near = closest(unknown, names, 3).join(', ');
      throw new Error(`${where}: taps are names of its modules; got "${unknown}"; closest: ${near}; see tapNames`);
    }
    this.#wanted = new Set(wanted);
    this.#held = held;
  }

  /** Offers an output under its names; `make` gives a tensor of its own for each name that is wanted. */
  take(paths: readonly string[], make: () => Tensor4D): void {
    for (const path of paths) {
      if (!this.#wanted.has(path)) continue;
      const parts = this.#found.get(path) ?? [];
      this.#found.set(path, [...parts, this.#held.hold(make())]);
    }
  }

  /** What was found, one tensor a name over the whole batch. They belong to the caller. */
  result(): Record<string, Tensor4D> {
    const joined = [...this.#found].map(([path, parts]) => [path, joinBatch(parts, this.#held)] as const);
    for (const [, batch] of joined) this.#held.release(batch);
    return Object.fromEntries(joined);
  }
}

/** One batch of the samples, which are freed; it is held. */
export function joinBatch(samples: readonly Tensor4D[], held: Held): Tensor4D {
  if (samples.length === 1) return samples[0];
  const batch = held.hold(tidy(() => concat([...samples], 0) as Tensor4D));
  for (const sample of samples) held.free(sample);
  return batch;
}
