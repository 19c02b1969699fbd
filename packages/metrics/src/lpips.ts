export { type Lpips, lpips, lpipsParams } from './perceptual/lpips.ts';
export type { ConvolutionSpec, LpipsNet } from './perceptual/networks.ts';
