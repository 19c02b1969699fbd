import { mapTensors, namedTensors, ParamSource } from '@rass/nn';
import { expectClose, type Golden } from '@rass/testkit';
import {
  add,
  dispose,
  grads,
  mul,
  norm,
  type Scalar,
  sum,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { parseUnetConfig } from './config.ts';
import { type Unet, type UnetInputs, unet, unetParams } from './unet.ts';

type Axes = readonly [number, number, number, number];

const CHANNELS_LAST: Axes = [0, 2, 3, 1];
const HWIO: Axes = [2, 3, 1, 0];

/** A golden tensor with its four axes in another order. It is turned here, not on the backend: of the hundreds that a
 * test compares with, each would be an operation and a read. */
function turned(golden: Golden, key: string, axes: Axes): Tensor4D {
  const { shape, values } = golden.raw(key);
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

export const goldenImage = (golden: Golden, key: string): Tensor4D => turned(golden, key, CHANNELS_LAST);

/** The parameters that a golden case holds under `w/`. The caller disposes of them. */
export function goldenUnet(golden: Golden, json: unknown): Unet {
  const from = new ParamSource(({ key, layout }) =>
    layout === 'same' ? golden.tensor(`w/${key}`) : turned(golden, `w/${key}`, HWIO),
  );
  return unetParams(from, parseUnetConfig(json));
}

/** What the make script passed to the model. */
export function goldenInputs(golden: Golden): UnetInputs {
  const { encoder_attention_mask: mask, class_labels: labels } = golden.config.extra ?? {};
  return {
    sample_BHWC: goldenImage(golden, 'in/sample'),
    text_BTD: golden.tensor('in/text') as Tensor3D,
    timestep: golden.config.timestep,
    ...(mask ? { textMask_BT: tensor2d(mask) } : {}),
    ...(labels ? { classLabels: Array.isArray(labels[0]) ? tensor2d(labels) : labels } : {}),
  };
}

const isAttention = (name: string): boolean => /attn\d$/.test(name);

/** The loss of the make script: a weighted sum of the output, of some taps and of some attention probabilities. */
export function goldenLoss(golden: Golden, p: Unet, inputs: UnetInputs): Scalar {
  const named = golden.names('r/').filter((name) => name !== 'out');
  const taps = named.filter((name) => !isAttention(name));
  const attention = named.filter(isAttention);
  const result = unet(p, { ...inputs, taps, attention });
  const terms = [
    sum(mul(result.sample, goldenImage(golden, 'r/out'))),
    ...taps.map((name) => sum(mul(result.taps[name], goldenImage(golden, `r/${name}`)))),
    ...attention.map((name) => sum(mul(result.attention[name], golden.tensor(`r/${name}`)))),
  ];
  return terms.reduce((a, b) => add(a, b)) as Scalar;
}

/** The loss's gradients by sample and text (under those names) and by every weight (under its key). */
export function lossGradients(golden: Golden, p: Unet, inputs: UnetInputs): Record<string, Tensor> {
  const weights = namedTensors(p);
  const { sample_BHWC, text_BTD } = inputs;
  const loss = (...[sample, text, ...values]: Tensor[]): Tensor => {
    const at = new Map(weights.map(({ key }, i) => [key, values[i]]));
    const tree = mapTensors(p, ({ key }) => at.get(key) as Tensor);
    return goldenLoss(golden, tree, { ...inputs, sample_BHWC: sample as Tensor4D, text_BTD: text as Tensor3D });
  };
  const found = tidy(() => grads(loss)([sample_BHWC, text_BTD, ...weights.map(({ tensor }) => tensor)]));
  const keys = ['sample', 'text', ...weights.map(({ key }) => key)];
  return Object.fromEntries(keys.map((key, i) => [key, found[i]]));
}

/** Compares output, every tap and every attention that the case holds. */
export async function expectForward(golden: Golden, p: Unet, inputs: UnetInputs): Promise<void> {
  const taps = golden.names('taps/');
  const attention = golden.names('attention/');
  const result = unet(p, { ...inputs, taps, attention });
  await expectClose(result.sample, goldenImage(golden, 'out/sample'), { label: 'sample' });
  for (const name of taps) await expectClose(result.taps[name], goldenImage(golden, `taps/${name}`), { label: name });
  for (const name of attention)
    await expectClose(result.attention[name], golden.tensor(`attention/${name}`), { label: name });
  dispose(result);
}

/** Compares the gradients by sample and text, and the lengths of those by every weight. */
export async function expectGradients(golden: Golden, p: Unet, found: Record<string, Tensor>): Promise<void> {
  const relative = 1e-3;
  await expectClose(found.sample, goldenImage(golden, 'grad/sample'), { relative, label: 'gradient of sample' });
  await expectClose(found.text, golden.tensor('grad/text'), { relative, label: 'gradient of text' });
  const keys = namedTensors(p).map(({ key }) => key);
  expect(golden.names('norm/').sort()).toEqual(keys.toSorted());
  for (const key of keys) {
    const length = tidy(() => norm(found[key]));
    await expectClose(length, golden.tensor(`norm/${key}`), { relative, label: `length of the gradient of ${key}` });
    length.dispose();
  }
}

/** Compares the whole gradient by every weight. */
export async function expectWeightGradients(golden: Golden, p: Unet, found: Record<string, Tensor>): Promise<void> {
  for (const { key, layout } of namedTensors(p)) {
    const name = `grad/w/${key}`;
    const expected = layout === 'conv2d' ? turned(golden, name, HWIO) : golden.tensor(name);
    await expectClose(found[key], expected, { relative: 1e-3, label: `gradient of ${key}` });
  }
}
