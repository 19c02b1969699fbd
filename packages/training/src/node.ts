export { type Checkpoints, openCheckpoints, type Resumed } from './node/checkpoint/checkpoints.ts';
export type { Json, JsonObject } from './node/checkpoint/json.ts';
export type { Part, Parts } from './node/checkpoint/part.ts';
export { type ResumeOptions, restorePart } from './node/checkpoint/restore.ts';
export type { KeepBest, Retention } from './node/checkpoint/retention.ts';
export { type BrokenCheckpoint, latestCheckpoint, listCheckpoints } from './node/checkpoint/scan.ts';
export type { CheckpointState, PartFile, SavedCheckpoint } from './node/checkpoint/state-file.ts';
export type { TrainingState } from './node/checkpoint/write-checkpoint.ts';
