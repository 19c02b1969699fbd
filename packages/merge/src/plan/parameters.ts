import { closest } from '@rass/nn';
import type { MergeMethod, MergeParameters } from '../methods/method.ts';
import type { ParameterSpec, ParameterValue } from '../methods/parameter.ts';
import type { Depth } from '../recipe/depth.ts';
import type { RecipeModel, Settings, Stage } from '../recipe/recipe.ts';
import { type CheckedSetting, checkSetting } from '../recipe/setting.ts';

type Checked = ReadonlyMap<string, CheckedSetting>;

function specOf(where: string, method: MergeMethod, name: string): ParameterSpec {
  const names = Object.keys(method.parameters);
  if (names.includes(name)) return method.parameters[name];
  throw new Error(
    `${where}: ${method.name} has the parameters ${names.join(', ')}; got "${name}"; closest: ${closest(name, names)[0]}`,
  );
}

function checkedOf(
  where: string,
  method: MergeMethod,
  settings: Settings,
  keys: readonly string[],
  depth: Depth,
  isModel: boolean,
): Checked {
  return new Map(
    Object.entries(settings).map(([name, setting]) => {
      const spec = specOf(where, method, name);
      if (isModel && spec.scope === 'merge') {
        throw new Error(`${where}: ${name} is one for the whole merge; got one for a model; move it to parameters`);
      }
      return [name, checkSetting(`${where}: ${name}`, spec, setting, keys, depth)];
    }),
  );
}

/** A parameter's value for a tensor: the model's own, the recipe's, or the method's default. */
function parameterValue(
  where: string,
  name: string,
  spec: ParameterSpec,
  key: string,
  sources: readonly Checked[],
): ParameterValue {
  for (const source of sources) {
    const value = source.get(name)?.valueFor(key);
    if (value !== undefined) return value;
  }
  if (spec.default !== undefined) return spec.default;
  throw new Error(
    `${where}: ${name} is given for each tensor; got none for "${key}"; it is ${spec.allowed}: ${spec.summary}`,
  );
}

/** Runs the method's own check once for each set of values. */
function checkTogether(where: string, method: MergeMethod, all: Iterable<MergeParameters>): void {
  const seen = new Set<string>();
  for (const parameters of all) {
    const text = JSON.stringify(parameters);
    if (seen.has(text)) continue;
    seen.add(text);
    try {
      method.check?.(parameters);
    } catch (error) {
      if (error instanceof Error) error.message = error.message.replace('merge', where);
      throw error;
    }
  }
}

/** The parameters of a stage's method for each of the tensors.
 * @throws when one is unknown, not allowed, missing, or given and never used */
export function stageParameters(
  where: string,
  method: MergeMethod,
  stage: Stage,
  models: readonly RecipeModel[],
  { merged, keys, depth }: { merged: readonly string[]; keys: readonly string[]; depth: Depth },
): Map<string, MergeParameters> {
  const common = checkedOf(where, method, stage.parameters, keys, depth, false);
  const own = models.map(({ model, parameters }) =>
    checkedOf(`${where}: ${model}`, method, parameters, keys, depth, true),
  );
  const parametersFor = (key: string): MergeParameters => {
    const entries = Object.entries(method.parameters).map(([name, spec]) => {
      if (spec.scope === 'merge') return [name, parameterValue(where, name, spec, key, [common])];
      const values = models.map(({ model }, i) =>
        parameterValue(`${where}: ${model}`, name, spec, key, [own[i], common]),
      );
      return [name, values];
    });
    return Object.fromEntries(entries);
  };
  const all = new Map(merged.map((key) => [key, parametersFor(key)]));
  for (const checked of [common, ...own]) for (const setting of checked.values()) setting.checkUsed();
  checkTogether(where, method, all.values());
  return all;
}
