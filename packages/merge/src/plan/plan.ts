import { byteLengthOf, type Checkpoint, type Dtype, type TensorSpec } from '@rass/weights';
import { depthOf } from '../recipe/depth.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { isFloat } from './checkpoint-node.ts';
import type { MergePlan, PlanGroup } from './merge-plan.ts';
import { sizeOf } from './node.ts';
import { planText } from './print.ts';
import type { StageNode } from './stage-node.ts';
import { type BuiltStages, buildStages, type Openers } from './stages.ts';

/** Values of a tensor that are merged at a time, where its method allows. */
export const SLICE_VALUES = 4 << 20;
/** Slices on their way at the same time: two that are read ahead, and one that is written. */
const IN_FLIGHT = 3;
/** What the program itself takes: Node, its modules and the worker that hashes. */
const PROGRAM_BYTES = 200e6;

const ENCODABLE: readonly Dtype[] = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'];

function specOf({ name, stages }: Recipe, output: StageNode, key: string): TensorSpec {
  const { dtype, shape } = output.info(key);
  if (!isFloat(dtype)) return { dtype, shape };
  const own = stages[stages.length - 1].out_dtype ?? dtype;
  if (ENCODABLE.includes(own)) return { dtype: own, shape };
  throw new Error(`${name}: a result is written as ${ENCODABLE.join(', ')}; got ${dtype} of "${key}"; set out_dtype`);
}

function groupsOf(output: StageNode, specs: ReadonlyMap<string, TensorSpec>): PlanGroup[] {
  const depth = depthOf(output.keys);
  const groups = new Map<string, PlanGroup>();
  for (const [key, { dtype, shape }] of specs) {
    const block = depth.blockOf(key) ?? key.split('.', 1)[0];
    const parameters = output.parameters.get(key);
    const method = parameters === undefined ? 'copy' : output.method.name;
    const id = JSON.stringify([block, method, parameters]);
    const { tensors, bytes } = groups.get(id) ?? { tensors: 0, bytes: 0 };
    const size = byteLengthOf(dtype, shape);
    groups.set(id, { block, method, parameters: parameters ?? {}, tensors: tensors + 1, bytes: bytes + size });
  }
  return [...groups.values()];
}

/** Bytes held for a tensor, or for a slice of it. */
function heldBytes(output: StageNode, key: string, { dtype, shape }: TensorSpec): number {
  const size = sizeOf(shape);
  const count = output.isSliced(key) ? Math.min(size, SLICE_VALUES) : size;
  return 4 * output.footprint(key, count) + (dtype === 'F32' ? 0 : byteLengthOf(dtype, [count]));
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function planOf(recipe: Recipe, built: BuiltStages, close: () => Promise<void>): MergePlan {
  const { output, adapters, unmatched } = built;
  const specs = new Map(output.keys.map((key) => [key, specOf(recipe, output, key)]));
  const held = [...specs].map(([key, spec]) => heldBytes(output, key, spec)).sort((a, b) => b - a);
  const plan = {
    recipe,
    output,
    specs,
    tensors: specs.size,
    bytesRead: total(output.keys.map((key) => output.readBytes(key))),
    bytesWritten: total([...specs.values()].map(({ dtype, shape }) => byteLengthOf(dtype, shape))),
    // Large tensors may come one after the other.
    peakBytes: PROGRAM_BYTES + total(held.slice(0, IN_FLIGHT)),
    groups: groupsOf(output, specs),
    adapters,
    unmatched,
    close,
  };
  return { ...plan, toString: () => planText(plan) };
}

/** Opens what a recipe names, checks all of it, and says what merging will do. Close the plan when it is done with.
 * @throws on an unknown method, model or parameter, a tensor that a model lacks, shapes that differ, a filter that means nothing */
export async function planMerge(recipe: Recipe, openers: Openers): Promise<MergePlan> {
  const built = await buildStages(recipe, openers);
  const close = async (): Promise<void> => {
    await Promise.all([...built.opened.values()].map((checkpoint: Checkpoint) => checkpoint.close()));
  };
  try {
    return planOf(recipe, built, close);
  } catch (error) {
    await close();
    throw error;
  }
}
