import type { AdapterFormat } from '@rass/lora';
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

/** An adapter that is folded into a model. */
export interface PlanAdapter {
  /** The model, as the recipe names it. */
  readonly model: string;
  readonly path: string;
  /** Its name in the file. */
  readonly adapter: string;
  readonly format: AdapterFormat;
  /** The part of a pipeline that it is of: `unet`. */
  readonly component: string;
  readonly scale: number;
  /** Layers with a product or a difference. */
  readonly layers: number;
  /** Tensors that were trained whole. */
  readonly whole: number;
  /** Ranks of products, each once. */
  readonly ranks: readonly number[];
  /** What of the file is not folded in, as the recipe allows. */
  readonly leftOut: readonly string[];
}

/** Tensors that not every model of a stage has. */
export interface PlanUnmatched {
  /** Copied from the first model that has them. */
  readonly kept: readonly string[];
  readonly dropped: readonly string[];
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
  readonly adapters: readonly PlanAdapter[];
  readonly unmatched: PlanUnmatched;
  close(): Promise<void>;
  /** A table to be printed. */
  toString(): string;
}
