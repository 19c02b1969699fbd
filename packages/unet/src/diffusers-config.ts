import { closest, shown } from '@rass/nn';
import * as v from 'valibot';

/** Which values of a field mean that the feature behind it is off. */
export type NeutralValues = Readonly<Record<string, readonly unknown[]>>;

export interface ConfigRules<Entries extends v.ObjectEntries> {
  /** Begins every error: `unet`. */
  readonly where: string;
  /** What `_class_name` may say. */
  readonly classes: readonly string[];
  /** The fields that we read; a schema's message says what the field is. */
  readonly fields: v.ObjectSchema<Entries, undefined>;
  /** The fields of features that we lack. */
  readonly refused: NeutralValues;
  /** The fields that change nothing here, whatever they say. */
  readonly idle: readonly string[];
  /** What to do about a feature that we lack. */
  readonly remedy: string;
}

function checkClass(where: string, classes: readonly string[], name: unknown): void {
  if (name === undefined || (typeof name === 'string' && classes.includes(name))) return;
  throw new Error(
    `${where}: _class_name is ${classes.join(' or ')}; got ${shown(name)}; give that model's config.json`,
  );
}

function checkNeutral(where: string, name: string, value: unknown, neutral: readonly unknown[], remedy: string): void {
  if (neutral.some((allowed) => allowed === value)) return;
  throw new Error(
    `${where}: ${name} ${shown(value)} is not implemented; only ${neutral.map(shown).join(' or ')} is; ${remedy}`,
  );
}

/** Reads a config.json as diffusers writes it. Fields that begin with an underscore are about the file, not the model.
 * @throws when a field is unknown and not in `ignore`, has a wrong value, or asks for what we do not implement */
export function readDiffusersConfig<Entries extends v.ObjectEntries>(
  json: unknown,
  rules: ConfigRules<Entries>,
  ignore: readonly string[] = [],
): v.InferOutput<v.ObjectSchema<Entries, undefined>> {
  const { where, fields, refused, idle } = rules;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new Error(`${where}: a config is an object; got ${shown(json)}; parse config.json with JSON.parse first`);
  }
  checkClass(where, rules.classes, (json as Record<string, unknown>)._class_name);
  const known = [...Object.keys(fields.entries), ...Object.keys(refused), ...idle];
  for (const [name, value] of Object.entries(json)) {
    if (name.startsWith('_') || ignore.includes(name)) continue;
    if (Object.hasOwn(refused, name)) checkNeutral(where, name, value, refused[name], rules.remedy);
    else if (!known.includes(name)) {
      throw new Error(
        `${where}: every field of the config is known; got "${name}"; closest: ${closest(name, known, 2).join(', ')}; ` +
          `if it does not matter, leave it out`,
      );
    }
  }
  const result = v.safeParse(fields, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = String(issue.path?.[0]?.key);
  throw new Error(
    `${where}: ${field} ${issue.message}; got ${shown((json as Record<string, unknown>)[field])}; correct config.json`,
  );
}
