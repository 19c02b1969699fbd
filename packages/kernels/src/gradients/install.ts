import { type GradConfig, getGradient, registerGradient, unregisterGradient } from '@tensorflow/tfjs-core';
import { installAutodiff } from '../autodiff/install.ts';
import { definitionOf, gradientConfig } from './definition.ts';
import { kernelGradients } from './registry.ts';

/** Makes our gradients and our tape the ones that TensorFlow.js uses, for every backend.
 * Cheap and idempotent; call it again where another package may have registered its own gradients since. */
export function installGradients(): void {
  installAutodiff();
  for (const definition of kernelGradients) {
    const registered = getGradient(definition.kernel) as GradConfig | undefined;
    if (definitionOf(registered) !== undefined) continue;
    // TensorFlow.js warns of overriding, and not of removing.
    if (registered !== undefined) unregisterGradient(definition.kernel);
    registerGradient(gradientConfig(definition));
  }
}
