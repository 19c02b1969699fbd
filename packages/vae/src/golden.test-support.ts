import { ParamSource } from '@rass/nn';
import type { Golden } from '@rass/testkit';
import { type Tensor, type Tensor4D, tensor } from '@tensorflow/tfjs-core';
import { parseVaeConfig } from './config.ts';
import { type Vae, vaeParams } from './params.ts';

type Axes = readonly [number, number, number, number];

const CHANNELS_LAST: Axes = [0, 2, 3, 1];
const HWIO: Axes = [2, 3, 1, 0];

/** A golden tensor with its four axes in another order. It is turned here and not on the backend, where each of the
 * hundreds that a test compares with would be an operation of its own. */
function turned(golden: Golden, name: string, axes: Axes): Tensor4D {
  const { shape, values } = golden.raw(name);
  const strides = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1];
  const [a, b, c, d] = axes.map((axis) => shape[axis]);
  const [sa, sb, sc, sd] = axes.map((axis) => strides[axis]);
  const out = new Float32Array(values.length);
  let at = 0;
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < c; k++) for (let l = 0; l < d; l++) out[at++] = values[i * sa + j * sb + k * sc + l * sd];
  return tensor(out, [a, b, c, d]) as Tensor4D;
}

export const goldenImage = (golden: Golden, name: string): Tensor4D => turned(golden, name, CHANNELS_LAST);

/** A weight, or a gradient by one, as the tree holds it. */
export const goldenWeight = (golden: Golden, name: string): Tensor =>
  golden.raw(name).shape.length === 4 ? turned(golden, name, HWIO) : golden.tensor(name);

export function goldenSource(golden: Golden): ParamSource {
  return new ParamSource(({ key }) => goldenWeight(golden, `w/${key}`));
}

/** The autoencoder that a golden case holds under `w/`. */
export function goldenVae(golden: Golden): Vae {
  return vaeParams(goldenSource(golden), parseVaeConfig(golden.config));
}
