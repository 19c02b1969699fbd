export { type AddDifferenceParameters, addDifference } from './methods/add-difference.ts';
export { type CosineParameters, cosine } from './methods/cosine.ts';
export { type LinearParameters, linear } from './methods/linear.ts';
export type { MergeInputs, MergeMethod, MergeParameters, ModelCount } from './methods/method.ts';
export { type ModelStockParameters, modelStock } from './methods/model-stock.ts';
export { type NearswapParameters, nearswap } from './methods/nearswap.ts';
export { type NuslerpParameters, nuslerp } from './methods/nuslerp.ts';
export type { ParameterSpec, ParameterValue } from './methods/parameter.ts';
export { type PassthroughParameters, passthrough } from './methods/passthrough.ts';
export type { Rescale } from './methods/prune.ts';
export { mergeMethods } from './methods/registry.ts';
export { type SlerpParameters, slerp } from './methods/slerp.ts';
export {
  type DareParameters,
  dareLinear,
  dareTies,
  type RandomOf,
  type TaskParameters,
  type TiesParameters,
  taskArithmetic,
  ties,
} from './methods/task-arithmetic.ts';
export type { LoraSource } from './plan/lora-file.ts';
export type { MergePlan, PlanAdapter, PlanGroup, PlanUnmatched } from './plan/merge-plan.ts';
export type { Range, ReadContext, TensorNode } from './plan/node.ts';
export { planMerge } from './plan/plan.ts';
export type { StageInputs, StageNode } from './plan/stage-node.ts';
export type { Openers } from './plan/stages.ts';
export {
  type Condition,
  parseRecipe,
  type Recipe,
  type RecipeLora,
  type RecipeModel,
  type Setting,
  type Settings,
  type SettingValue,
  type Stage,
  type Unmatched,
} from './recipe/recipe.ts';
export { type MergeProgress, type RunOptions, runMerge } from './run/run-merge.ts';
