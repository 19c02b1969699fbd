import { describeOnBackends } from '@rass/testkit';
import * as tf from '@tensorflow/tfjs';
import { engine, getGradient, grad, sum, type Tensor4D, tensor4d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { definitionOf } from '../gradients/definition.ts';
import { installGradients } from '../gradients/install.ts';
import { kernelGradients } from '../gradients/registry.ts';
import { resize } from '../ops/resize.ts';

const widen = (x_BHWC: Tensor4D): Tensor4D => resize(x_BHWC, [2, 4], 'bilinear');

describeOnBackends('beside @tensorflow/tfjs, which brings backends and gradients of its own', () => {
  it('there is one engine, and the gradients are ours', async () => {
    expect(tf.engine()).toBe(engine());
    const theirs = kernelGradients.filter(({ kernel }) => definitionOf(getGradient(kernel)) === undefined);
    expect(theirs.map(({ kernel }) => kernel)).toEqual([]);
    const slope = grad((x) => sum(widen(x as Tensor4D)))(tf.tensor4d([0, 4, 8, 12], [1, 2, 2, 1]));
    expect([...(await slope.data())]).toEqual([2, 2, 2, 2]);
  });

  it('chained ops of theirs and layers take our tensors', async () => {
    const x = tensor4d([0, 4, 8, 12], [1, 2, 2, 1]);
    expect([...(await widen(x).mul(2).data())]).toEqual([0, 2, 6, 8, 16, 18, 22, 24]);
    const flat = tf.layers.flatten().apply(x) as tf.Tensor;
    expect(flat.shape).toEqual([1, 4]);
  });

  it('gradients that are registered after ours are replaced again by installGradients()', () => {
    const { kernel } = kernelGradients[0]!;
    tf.unregisterGradient(kernel);
    tf.registerGradient({ kernelName: kernel, gradFunc: () => ({}) });
    expect(definitionOf(getGradient(kernel))).toBeUndefined();
    installGradients();
    expect(definitionOf(getGradient(kernel))).toBeDefined();
  });
});
