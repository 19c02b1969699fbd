export type { FileHash } from './node/hash.ts';
export { hiddenIn, hiddenName, sweepLeftovers } from './node/leftovers.ts';
export {
  type FilePlan,
  type MergeFilesOptions,
  type MergeResult,
  mergeFiles,
  planFiles,
  runFiles,
} from './node/merge-files.ts';
