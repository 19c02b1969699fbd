import {
  type Checkpoint,
  encodeSafetensors,
  fromFloat32,
  memorySink,
  openCheckpoint,
  startSafetensors,
} from '@rass/weights';
import type { MergePlan } from './plan/merge-plan.ts';
import { planMerge } from './plan/plan.ts';
import { parseRecipe } from './recipe/recipe.ts';
import { type RunOptions, runMerge } from './run/run-merge.ts';

/** A tensor of a model in memory; F32 where no type is said. */
export interface TestTensor {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
  readonly dtype?: 'F32' | 'F16' | 'BF16' | 'I64';
}

export type TestModel = Readonly<Record<string, TestTensor>>;

/** The bytes of a model's file. */
export function fileOf(model: TestModel): Promise<Uint8Array<ArrayBuffer>> {
  return encodeSafetensors(
    Object.fromEntries(
      Object.entries(model).map(([key, { shape, values, dtype = 'F32' }]) => {
        const data =
          dtype === 'I64'
            ? BigInt64Array.from(Array.from(values, BigInt))
            : fromFloat32(Float32Array.from(values), dtype);
        return [key, { dtype, shape, data }];
      }),
    ),
  );
}

/** Plans a recipe over models, and adapters' files, in memory. */
export function planInMemory(
  recipe: string,
  models: Readonly<Record<string, TestModel>>,
  loras: Readonly<Record<string, TestModel>> = {},
): Promise<MergePlan> {
  return planMerge(parseRecipe(recipe), {
    async openModel(name): Promise<Checkpoint> {
      if (models[name] === undefined) throw new Error(`no model ${name}`);
      return openCheckpoint(await fileOf(models[name]));
    },
    async openLora(path) {
      return { checkpoint: await openCheckpoint(await fileOf(loras[path])) };
    },
  });
}

/** The file that a plan gives. */
export async function runInMemory(plan: MergePlan, options: RunOptions = {}): Promise<Checkpoint> {
  const sink = memorySink('merged');
  const writer = await startSafetensors(sink, plan.specs);
  await runMerge(plan, writer, options);
  await writer.finish();
  await plan.close();
  return openCheckpoint(sink.bytes());
}

/** What a recipe makes of models in memory. */
export async function mergeInMemory(
  recipe: string,
  models: Readonly<Record<string, TestModel>>,
  loras: Readonly<Record<string, TestModel>> = {},
): Promise<Checkpoint> {
  return runInMemory(await planInMemory(recipe, models, loras));
}
