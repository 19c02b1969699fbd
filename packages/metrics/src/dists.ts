export { type Dists, dists, distsParams } from './perceptual/dists.ts';
