export { type Dists, dists, distsParams } from './dists/dists.ts';
