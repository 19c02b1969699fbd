export { type Lpips, lpips, lpipsParams } from './lpips/lpips.ts';
export type { ConvolutionSpec, LpipsNet } from './lpips/networks.ts';
