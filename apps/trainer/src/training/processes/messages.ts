import type { DatasetClass } from '@rass/datasets';
import { type Tensor, tensor, type Variable } from '@tensorflow/tfjs-core';
import type { Recipe } from '../../recipe/recipes.ts';
import type { Sample } from '../../samples/sample.ts';
import type { UpdateFacts } from '../task.ts';

/** What a helper process is opened with. */
export interface HelperStart {
  readonly kind: 'start';
  readonly recipe: Recipe;
  readonly classes: readonly DatasetClass[];
  readonly backend: string;
}

/** Batches of one update, with the weights that they are run on. */
export interface HelperJob {
  readonly kind: 'run';
  readonly step: number;
  readonly batches: readonly { readonly part: number; readonly samples: readonly Sample[] }[];
  readonly facts: UpdateFacts | undefined;
  readonly weights: Float32Array;
}

export interface PartResult {
  readonly part: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly gradients: Float32Array;
}

export type HelperReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly results: readonly PartResult[] }
  | { readonly kind: 'error'; readonly message: string };

type Variables = Readonly<Record<string, Variable>>;

const sizeOf = (variables: Variables): number => Object.values(variables).reduce((sum, { size }) => sum + size, 0);

/** Tensors of all variables one after the other, in the variables' order. */
export async function packed(tensors: Readonly<Record<string, Tensor>>, variables: Variables): Promise<Float32Array> {
  const all = new Float32Array(sizeOf(variables));
  let at = 0;
  for (const [key, { size }] of Object.entries(variables)) {
    all.set((await tensors[key]!.data()) as Float32Array, at);
    at += size;
  }
  return all;
}

/** The tensors that were packed. */
export function unpacked(all: Float32Array, variables: Variables): Record<string, Tensor> {
  let at = 0;
  return Object.fromEntries(
    Object.entries(variables).map(([key, { size, shape }]) => {
      const each = tensor(all.slice(at, at + size), shape, 'float32');
      at += size;
      return [key, each];
    }),
  );
}
