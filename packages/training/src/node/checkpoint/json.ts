/** What state.json can hold without loss. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined };

/** An object of a state file. */
export type JsonObject = { readonly [name: string]: Json | undefined };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Refuses what JSON would change: numbers that are not finite, classes, functions. A property that is undefined is
 * left out.
 * @throws naming the field */
export function checkJson(where: string, value: unknown, field: string): void {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (Array.isArray(value)) {
    for (const [i, each] of value.entries()) checkJson(where, each, `${field}.${i}`);
    return;
  }
  const isPlain = isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value));
  if (isPlain) {
    for (const [name, each] of Object.entries(value))
      if (each !== undefined) checkJson(where, each, `${field}.${name}`);
    return;
  }
  const got = isObject(value) ? value.constructor.name : String(value);
  throw new Error(
    `${where}: what is saved is plain JSON; got ${got} for "${field}"; make it numbers, texts, lists, objects`,
  );
}

/** A field that two values do not have alike. */
export interface Difference {
  /** With dots: `optimizer.betas.0`. */
  readonly field: string;
  readonly saved: Json | undefined;
  readonly now: Json | undefined;
}

/** Where two values differ, down to the smallest fields. */
export function differences(saved: Json | undefined, now: Json | undefined, field = ''): Difference[] {
  const isNested = (isObject(saved) && isObject(now)) || (Array.isArray(saved) && Array.isArray(now));
  if (!isNested) return Object.is(saved, now) ? [] : [{ field, saved, now }];
  const [a, b] = [saved, now] as unknown as [JsonObject, JsonObject];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].flatMap((name) => differences(a[name], b[name], field === '' ? name : `${field}.${name}`));
}
