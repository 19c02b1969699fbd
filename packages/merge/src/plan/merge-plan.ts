import type { TensorSpec } from '@rass/weights';
import type { MergeParameters } from '../methods/method.ts';
import type { Recipe } from '../recipe/recipe.ts';
import type { StageNode } from './stage-node.ts';

/** Tensors of one block to which the same is done. */
export interface PlanGroup {
  readonly block: string;
  /** `copy` for tensors that are no floating-point ones. */
  readonly method: string;
  readonly parameters: MergeParameters;
  readonly tensors: number;
  readonly bytes: number;
}

/** What a recipe will do, found without reading a weight. */
export interface MergePlan {
  readonly recipe: Recipe;
  readonly output: StageNode;
  /** The result's tensors, in the order in which they are read and written. */
  readonly specs: ReadonlyMap<string, TensorSpec>;
  readonly tensors: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** About how much memory the process will take at most. */
  readonly peakBytes: number;
  readonly groups: readonly PlanGroup[];
  close(): Promise<void>;
  /** A table to be printed. */
  toString(): string;
}
