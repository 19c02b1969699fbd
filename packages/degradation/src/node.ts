export {
  type DegradationJob,
  type DegradationOutcome,
  type DegradationPool,
  openDegradationPool,
  type PoolOptions,
} from './node/degradation-pool.ts';
