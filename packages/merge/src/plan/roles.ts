import type { MergeMethod, ModelCount } from '../methods/method.ts';
import type { RecipeModel, Stage } from '../recipe/recipe.ts';

/** Which of a stage's models is the base. */
export interface Roles {
  readonly base?: RecipeModel;
  readonly models: readonly RecipeModel[];
}

function countText({ min, max }: ModelCount): string {
  if (min === max) return `${min}`;
  return max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
}

function checkCount(where: string, method: MergeMethod, count: number, allowed: ModelCount, besides: string): void {
  if (count >= allowed.min && count <= allowed.max) return;
  throw new Error(
    `${where}: ${method.name} merges ${countText(allowed)} model${allowed.max === 1 ? '' : 's'}${besides}; got ${count}; ${method.summary}`,
  );
}

function withBase(where: string, method: MergeMethod, stage: Stage, base: string, allowed: ModelCount): Roles {
  const listed = stage.models.filter(({ model }) => model === base);
  if (listed.length > 1) {
    throw new Error(
      `${where}: the base is listed once at most; got "${base}" ${listed.length} times; leave it out of models`,
    );
  }
  const [parameter] = Object.keys(listed[0]?.parameters ?? {});
  if (parameter !== undefined) {
    throw new Error(
      `${where}: ${method.name} has no parameters for its base; got ${parameter} for "${base}"; leave it out`,
    );
  }
  const models = stage.models.filter(({ model }) => model !== base);
  checkCount(where, method, models.length, allowed, ' besides the base');
  return { base: listed[0] ?? { model: base, parameters: {}, loras: [] }, models };
}

/** Tells a stage's base from its models, as its method needs them. @throws when there are too few, too many, or no base */
export function rolesOf(where: string, method: MergeMethod, stage: Stage): Roles {
  const { base_model: base, models } = stage;
  if (base !== undefined && method.withBase !== undefined) return withBase(where, method, stage, base, method.withBase);
  if (base !== undefined && !models.some(({ model }) => model === base)) {
    throw new Error(
      `${where}: ${method.name} has no base beside its models; got base_model: ${base}; list it among the models, or leave it out`,
    );
  }
  if (method.withoutBase === undefined) {
    throw new Error(`${where}: ${method.name} merges what models have beyond a base; got none; set base_model`);
  }
  checkCount(where, method, models.length, method.withoutBase, '');
  return { models };
}
