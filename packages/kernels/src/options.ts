/** What a value of an option may be, in words and as a test. */
export interface OptionRule {
  readonly is: string;
  readonly holds: (value: unknown) => boolean;
}

/** A rule for each option of a type: none can be left out. */
export type OptionRules<T> = { readonly [Name in keyof Required<T>]: OptionRule };

const rule = (is: string, holds: OptionRule['holds']): OptionRule => ({ is, holds });

/** What the function itself looks at more closely. */
export const anything = rule('anything', () => true);
export const flag = rule('true or false', (value) => typeof value === 'boolean');
export const finite = rule('a finite number', Number.isFinite);
export const positive = rule('a finite number above 0', (value) => Number.isFinite(value) && (value as number) > 0);
export const whole = (least: number): OptionRule =>
  rule(`a whole number from ${least} on`, (value) => Number.isSafeInteger(value) && (value as number) >= least);
export const oneOf = (...names: readonly unknown[]): OptionRule =>
  rule(`one of ${names.join(', ')}`, (value) => names.includes(value));
export const listOf = (of: OptionRule): OptionRule =>
  rule(`a list, each ${of.is}`, (value) => Array.isArray(value) && value.every(of.holds));
export const text = rule('a text', (value) => typeof value === 'string');
/** Functions and signals. */
export const called = rule('a function', (value) => typeof value === 'function');

const shown = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value) : Array.isArray(value) ? `[${value}]` : String(value);

/** Refuses an option that nothing reads, and a value that its rule does not hold for; undefined is as good as absent.
 * @throws naming the option, what it may be, or which ones there are */
export function checkOptions<T extends object>(where: string, given: T, rules: OptionRules<T>): void {
  if (typeof given !== 'object' || given === null) {
    throw new Error(`${where}: options are an object; got ${shown(given)}; give { name: value }`);
  }
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(rules, name)) {
      const names = Object.keys(rules).join(', ');
      throw new Error(`${where}: options have known names; got ${JSON.stringify(name)}; there are ${names}`);
    }
    const { is, holds } = rules[name as keyof T];
    if (value === undefined || holds(value)) continue;
    throw new Error(
      `${where}: ${name} is ${is}; got ${shown(value)}; correct it, or leave it out where it has a default`,
    );
  }
}
