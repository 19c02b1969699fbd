import { closest, MOST, shown } from '@rass/nn';
import * as v from 'valibot';

export type Refuse = (rule: string, got: unknown, remedy?: string) => never;

/** An error that says which configuration is wrong and what to correct. */
export const refuseAs =
  (where: string, file: string): Refuse =>
  (rule, got, remedy = `correct ${file}`) => {
    throw new Error(`${where}: ${rule}; got ${shown(got)}; ${remedy}`);
  };

const COUNT = 'is a whole number from 1 up';

/** A whole number that is looped over or allocated. */
export const countUpTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));

/** Of a tensor. */
export const count = countUpTo(MOST.size);

export const layerCount = countUpTo(MOST.layers);

interface KnownFields<Fields extends v.ObjectEntries> {
  readonly fields: Fields;
  /** Fields of which one value, as JSON, is implemented. */
  readonly fixed: Readonly<Record<string, string>>;
  /** Fields of other parts, of training and of files. */
  readonly elsewhere: readonly string[];
  /** Fields that the caller knows not to matter. */
  readonly ignore: readonly string[];
  readonly refuse: Refuse;
}

/** Reads a configuration of Hugging Face, in which every field is known.
 * @throws when one is not, has a wrong value, or asks for what is not implemented, each by name */
export function readConfig<Fields extends v.ObjectEntries>(
  json: unknown,
  { fields, fixed, elsewhere, ignore, refuse }: KnownFields<Fields>,
): v.InferOutput<v.ObjectSchema<Fields, undefined>> {
  const known = [...Object.keys(fields), ...Object.keys(fixed), ...elsewhere];
  for (const [name, value] of Object.entries(json as object)) {
    if (name.startsWith('_') || ignore.includes(name)) continue;
    if (!known.includes(name)) {
      const remedy = `closest: ${closest(name, known, 2).join(', ')}; if it does not matter, name it in ignore`;
      refuse('every field of the config is known', name, remedy);
    }
    if (Object.hasOwn(fixed, name) && JSON.stringify(value) !== fixed[name]) {
      refuse(`${name} is ${fixed[name]}`, value, 'other values are not implemented');
    }
  }
  const parsed = v.safeParse(v.object(fields), json, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  return refuse(`${String(issue.path?.[0]?.key)} ${issue.message}`, issue.input);
}

/** @throws when it is none */
export function checkObject(json: unknown, refuse: Refuse, remedy: string): void {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return;
  refuse('a config is an object', json, remedy);
}
