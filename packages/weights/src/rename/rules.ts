import { WeightsError } from '../error.ts';

/** One rule for keys. In a template `{name}` stands for one step, without a dot, and `{name*}` for any text; they are
 * spelled the same on both sides. */
export type RenameRule =
  | { readonly exact: string; readonly to: string }
  | { readonly prefix: string; readonly to: string }
  | { readonly template: string; readonly to: string }
  | { readonly regex: RegExp; readonly to: string; readonly inverse?: { readonly regex: RegExp; readonly to: string } };

/** Rules of which the first that fits renames a key; a key that none fits stays as it is. */
export type RenameStep = readonly RenameRule[];

/** Steps, one after the other. Two renamings are composed by `[...first, ...second]`. */
export type Renaming = readonly RenameStep[];

/** What to do with a key that no rule fits. */
export type Unmatched = 'keep' | 'drop' | 'refuse';

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

const PLACEHOLDER = /\{(\w+)(\*?)\}/g;

function placeholders(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].map(([spelled]) => spelled);
}

function templateRegex(template: string): RegExp {
  let source = '';
  let last = 0;
  for (const match of template.matchAll(PLACEHOLDER)) {
    source += literally(template.slice(last, match.index));
    source += `(?<${match[1]}>${match[2] === '*' ? '.*' : '[^.]+'})`;
    last = match.index + match[0].length;
  }
  return new RegExp(`^${source}${literally(template.slice(last))}$`);
}

function checkTemplate({ template, to }: { template: string; to: string }): void {
  const known = new Set(placeholders(template));
  const unknown = placeholders(to).find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new WeightsError(
    'BadRule',
    `rename: a template uses the placeholders of its pattern; got ${unknown} in "${to}" for "${template}"`,
  );
}

/** A rule as a function: the new key, or undefined when the rule does not fit. */
type Compiled = (key: string) => string | undefined;

function compile(rule: RenameRule): Compiled {
  if ('exact' in rule) return (key) => (key === rule.exact ? rule.to : undefined);
  if ('prefix' in rule) {
    return (key) => (key.startsWith(rule.prefix) ? rule.to + key.slice(rule.prefix.length) : undefined);
  }
  if ('template' in rule) {
    checkTemplate(rule);
    const regex = templateRegex(rule.template);
    return (key) => {
      const match = regex.exec(key);
      // A template may have no placeholder: then there are no groups.
      return match ? rule.to.replace(PLACEHOLDER, (_, name: string) => match.groups?.[name] ?? '') : undefined;
    };
  }
  const regex = new RegExp(rule.regex.source, rule.regex.flags.replace(/[gy]/g, ''));
  return (key) => (regex.test(key) ? key.replace(regex, rule.to) : undefined);
}

/** A renaming made ready for many keys: the new key, and whether any rule fitted. */
export function compileRenaming(renaming: Renaming): (key: string) => { key: string; matched: boolean } {
  const steps = renaming.map((step) => step.map(compile));
  return (original) => {
    let key = original;
    let matched = false;
    for (const rules of steps) {
      for (const rule of rules) {
        const renamed = rule(key);
        if (renamed === undefined) continue;
        key = renamed;
        matched = true;
        break;
      }
    }
    return { key, matched };
  };
}

function describe(rule: RenameRule): string {
  if ('exact' in rule) return `"${rule.exact}" -> "${rule.to}"`;
  if ('prefix' in rule) return `"${rule.prefix}..." -> "${rule.to}..."`;
  if ('template' in rule) return `"${rule.template}" -> "${rule.to}"`;
  return `${rule.regex} -> "${rule.to}"`;
}

function invert(rule: RenameRule): RenameRule {
  if ('exact' in rule) return { exact: rule.to, to: rule.exact };
  if ('prefix' in rule) return { prefix: rule.to, to: rule.prefix };
  if ('template' in rule) {
    const kept = placeholders(rule.to);
    if (new Set(kept).size === kept.length && kept.length === placeholders(rule.template).length) {
      return { template: rule.to, to: rule.template };
    }
  } else if (rule.inverse !== undefined) {
    return { ...rule.inverse, inverse: { regex: rule.regex, to: rule.to } };
  }
  throw new WeightsError(
    'NotInvertible',
    `rename: a rule that is run backwards keeps all it matches; got ${describe(rule)}; a regex takes an inverse`,
  );
}

/** The renaming that leads back. It does so for the keys that the renaming was made for; that it does for given ones,
 * renameKeys tells. @throws WeightsError `NotInvertible`, naming the rule */
export function invertRenaming(renaming: Renaming): Renaming {
  return [...renaming].reverse().map((step) => step.map(invert));
}

/** Renames keys: a map from each new key to the old one.
 * @throws WeightsError `Collision` when two keys become one, `Unmatched` when no rule fits and that is refused */
export function renameKeys(
  keys: Iterable<string>,
  renaming: Renaming,
  unmatched: Unmatched = 'keep',
): Map<string, string> {
  const rename = compileRenaming(renaming);
  const result = new Map<string, string>();
  for (const original of keys) {
    const { key, matched } = rename(original);
    if (!matched && unmatched === 'drop') continue;
    if (!matched && unmatched === 'refuse') {
      throw new WeightsError('Unmatched', `rename: every key is renamed by a rule; got "${original}", which none fits`);
    }
    const other = result.get(key);
    if (other !== undefined) {
      throw new WeightsError(
        'Collision',
        `rename: each key gets a name of its own; got "${other}" and "${original}", which both become "${key}"`,
      );
    }
    result.set(key, original);
  }
  return result;
}
