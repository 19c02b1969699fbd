import type { RepairedKernel } from './definition.ts';
import { register, repairedForward } from './install.ts';
import { repairedWindows } from './windows.ts';

/** Every kernel that registerRepairedKernels() adds or replaces. */
export const repairedKernels: readonly RepairedKernel[] = [...repairedForward, ...repairedWindows];

/** Gives the loaded backends working versions of the kernels that they lack or have wrong.
 * To be called once a backend's package is loaded. Idempotent. */
export const registerRepairedKernels = (): void => register(repairedKernels);
