import * as v from 'valibot';

export type ParameterValue = number | boolean | string;

/** One parameter of a merge method: what it may be, and whether the merge or each of its models has one. */
export interface ParameterSpec {
  readonly scope: 'merge' | 'model';
  readonly kind: 'number' | 'whole number' | 'boolean' | 'choice';
  /** What is allowed, in words: `a number from 0 to 1`. */
  readonly allowed: string;
  readonly summary: string;
  /** Absent where one must be given. */
  readonly default?: ParameterValue;
  readonly schema: v.GenericSchema<unknown, ParameterValue>;
}

interface NumberOptions {
  scope: ParameterSpec['scope'];
  summary: string;
  default?: number;
  min?: number;
  max?: number;
}

/** A finite number, of a range where the method has one. */
export function number({ scope, summary, default: preset, min, max }: NumberOptions): ParameterSpec {
  const range =
    min !== undefined && max !== undefined ? ` from ${min} to ${max}` : min !== undefined ? ` of at least ${min}` : '';
  const [low, high] = [min ?? Number.NEGATIVE_INFINITY, max ?? Number.POSITIVE_INFINITY];
  const schema = v.pipe(v.number(), v.finite(), v.minValue(low), v.maxValue(high));
  return { scope, kind: 'number', allowed: `a number${range}`, summary, default: preset, schema };
}

/** A whole number, such as a seed. */
export function wholeNumber(summary: string, preset: number): ParameterSpec {
  const schema = v.pipe(v.number(), v.safeInteger());
  return { scope: 'merge', kind: 'whole number', allowed: 'a whole number', summary, default: preset, schema };
}

/** A choice between yes and no. */
export function flag(summary: string, preset: boolean): ParameterSpec {
  return { scope: 'merge', kind: 'boolean', allowed: 'true or false', summary, default: preset, schema: v.boolean() };
}

/** One of several words; `spellings` are other ways to write them, such as true and false. */
export function choice<T extends string>(
  words: readonly T[],
  summary: string,
  preset: T,
  spellings: ReadonlyMap<unknown, T> = new Map(),
): ParameterSpec {
  const others = spellings.size > 0 ? `, or ${[...spellings.keys()].join(' or ')}` : '';
  const schema = v.pipe(
    v.unknown(),
    v.transform((given) => spellings.get(given) ?? given),
    v.picklist(words),
  );
  return {
    scope: 'merge',
    kind: 'choice',
    allowed: `${words.join(' or ')}${others}`,
    summary,
    default: preset,
    schema,
  };
}
