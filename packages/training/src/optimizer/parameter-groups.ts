import { closest, type NamedTensor, namedTensors, trainableTensors } from '@rass/nn';
import { Tensor, Variable } from '@tensorflow/tfjs-core';

/** Which variables are trained otherwise than the rest. */
export interface GroupRule {
  /** Default: the pattern itself. */
  readonly name?: string;
  /** A regular expression for the key, or whole steps of it, anywhere: `backbone`, `lora_B`, `attn.to_q`, `bias`. */
  readonly match: RegExp | string;
  /** Times the learning rate of a step; default 1. */
  readonly learningRateFactor?: number;
  /** Of all that it matches; default: as the defaults say. */
  readonly weightDecay?: number;
}

export interface GroupDefaults {
  /** The name of the group of what no rule matches; default `default`. */
  readonly name?: string;
  /** Default 0. */
  readonly weightDecay?: number;
  /** Of the weights and biases of norms, where a tree is given; default: as the rest. */
  readonly normDecay?: number;
  /** Of embeddings and of tables of positions, where a tree is given; default: as the rest. */
  readonly embeddingDecay?: number;
}

/** Variables that are trained alike. */
export interface ParameterGroup {
  readonly name: string;
  readonly learningRateFactor: number;
  readonly weightDecay: number;
  /** By checkpoint key. */
  readonly variables: Readonly<Record<string, Variable>>;
}

const nameOf = ({ name, match }: GroupRule): string => name ?? (typeof match === 'string' ? match : match.source);

function matches(match: RegExp | string, key: string): boolean {
  if (typeof match === 'string') return `.${key}.`.includes(`.${match}.`);
  // A global or sticky expression would go on from where it last matched.
  match.lastIndex = 0;
  return match.test(key);
}

/** Whether it is variables by key. A leaf of a tree has its kind and path beside its tensors. */
const isNamed = (of: unknown): of is Record<string, Variable> =>
  typeof of === 'object' && of !== null && Object.values(of).every((each) => each instanceof Tensor);

function variablesOf(of: unknown): Record<string, Variable> {
  const variables = isNamed(of) ? of : trainableTensors(of);
  const keys = Object.keys(variables);
  if (keys.length === 0) {
    throw new Error(
      'parameterGroups: some tensor is trained; got none; make variables of them by trainable() of @rass/nn',
    );
  }
  const seen = new Map<Variable, string>();
  for (const key of keys) {
    const tensor = variables[key];
    if (!(tensor instanceof Variable) || tensor.dtype !== 'float32') {
      const got = tensor instanceof Variable ? tensor.dtype : 'a frozen tensor';
      throw new Error(`parameterGroups: what is trained are float32 variables; got ${got} for "${key}"; leave it out`);
    }
    const other = seen.get(tensor);
    if (other !== undefined) {
      throw new Error(
        `parameterGroups: a variable has one key; got "${other}" and "${key}" for the same; leave one out`,
      );
    }
    seen.set(tensor, key);
  }
  return variables;
}

function checkNumber(group: string, what: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw new Error(`parameterGroups: the ${what} of "${group}" is a number of at least 0; got ${value}; correct it`);
}

function refuseEmpty(rule: GroupRule, keys: readonly string[], taken: readonly string[]): never {
  const name = nameOf(rule);
  if (taken.length > 0) {
    throw new Error(
      `parameterGroups: the first group that matches takes a variable; "${name}" gets none, since earlier ones have ` +
        `all ${taken.length} that it matches, such as ${taken[0]}; put it before them`,
    );
  }
  const steps = [...new Set(keys.flatMap((key) => key.split('.')))];
  const near = typeof rule.match === 'string' ? closest(rule.match, steps, 3) : keys.slice(0, 3);
  const remedy = typeof rule.match === 'string' ? `closest: ${near.join(', ')}` : `keys look like ${near.join(', ')}`;
  throw new Error(`parameterGroups: each group matches a variable; "${name}" matches none; ${remedy}`);
}

function checkNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new Error(`parameterGroups: groups have names of their own; got "${twice}" twice; give one a name`);
}

/** What decays otherwise than most do. */
type DecayKind = 'norms' | 'embeddings';
const POSITIONS = /(^|\.)(relative_position_bias_table|absolute_pos_embed)$/;

function decayKindOf({ key, leaf }: NamedTensor): DecayKind | undefined {
  if (leaf.kind === 'groupNorm' || leaf.kind === 'layerNorm') return 'norms';
  return leaf.kind === 'embedding' || POSITIONS.test(key) ? 'embeddings' : undefined;
}

/** The decay of each key that has one of its own, with what it is. @source Mask2Former train_net build_optimizer */
function ownDecays(of: unknown, { normDecay, embeddingDecay }: GroupDefaults): Map<string, [DecayKind, number]> {
  const decays = { norms: normDecay, embeddings: embeddingDecay };
  const found = new Map<string, [DecayKind, number]>();
  if (isNamed(of)) return found;
  for (const named of namedTensors(of)) {
    const kind = decayKindOf(named);
    const decay = kind && decays[kind];
    if (decay !== undefined) found.set(named.key, [kind!, decay]);
  }
  return found;
}

/** A group, and beside it those of its variables that decay otherwise: `backbone` and `backbone: norms`. */
function split(group: ParameterGroup, own: ReadonlyMap<string, [DecayKind, number]>): ParameterGroup[] {
  const parts = new Map<string, ParameterGroup & { variables: Record<string, Variable> }>();
  for (const [key, each] of Object.entries(group.variables)) {
    const [kind, weightDecay] = own.get(key) ?? [undefined, group.weightDecay];
    const isOther = kind !== undefined && weightDecay !== group.weightDecay;
    const name = isOther ? `${group.name}: ${kind}` : group.name;
    const part = parts.get(name) ?? { ...group, name, weightDecay, variables: {} };
    part.variables[key] = each;
    parts.set(name, part);
  }
  return [...parts.values()];
}

/** Puts each variable of a tree, or of a plain object by key, into exactly one group: the first that matches its key,
 * else the default one, which comes last and is there only where something is left for it. What decays otherwise stands in groups of
 * its own behind. @throws when a rule gets nothing, a name is there twice, or nothing is a variable */
export function parameterGroups(
  of: unknown,
  rules: readonly GroupRule[] = [],
  defaults: GroupDefaults = {},
): ParameterGroup[] {
  const { name: defaultName = 'default', weightDecay: defaultDecay = 0, normDecay, embeddingDecay } = defaults;
  const variables = variablesOf(of);
  const own = ownDecays(of, defaults);
  checkNames([...rules.map(nameOf), defaultName]);
  checkNumber(defaultName, 'weight decay', defaultDecay);
  checkNumber('norms', 'weight decay', normDecay ?? 0);
  checkNumber('embeddings', 'weight decay', embeddingDecay ?? 0);
  const keys = Object.keys(variables);
  const left = new Set(keys);
  const pick = (chosen: readonly string[]) => Object.fromEntries(chosen.map((key) => [key, variables[key]]));
  const groups = rules.flatMap((rule): ParameterGroup[] => {
    const { match, learningRateFactor = 1, weightDecay = defaultDecay } = rule;
    const name = nameOf(rule);
    checkNumber(name, 'learning-rate factor', learningRateFactor);
    checkNumber(name, 'weight decay', weightDecay);
    const matching = keys.filter((key) => matches(match, key));
    const chosen = matching.filter((key) => left.delete(key));
    if (chosen.length === 0) refuseEmpty(rule, keys, matching);
    const group = { name, learningRateFactor, weightDecay, variables: pick(chosen) };
    return rule.weightDecay === undefined ? split(group, own) : [group];
  });
  const rest = { name: defaultName, learningRateFactor: 1, weightDecay: defaultDecay, variables: pick([...left]) };
  return [...groups, ...split(rest, own)];
}

/** All variables of some groups by key, in the groups' order. */
export function groupedVariables(groups: readonly ParameterGroup[]): Record<string, Variable> {
  return Object.assign({}, ...groups.map(({ variables }) => variables));
}

/** The groups as a table for a log: tensors, numbers, learning rate (at this rate of the schedule) and weight decay. */
export function describeGroups(groups: readonly ParameterGroup[], learningRate: number): string {
  const rows = groups.map(({ name, learningRateFactor, weightDecay, variables }) => {
    const tensors = Object.values(variables);
    const numbers = tensors.reduce((total, { size }) => total + size, 0);
    const rate = Number((learningRate * learningRateFactor).toPrecision(6));
    return [name, tensors.length, numbers.toLocaleString('en'), rate, weightDecay].map(String);
  });
  const table = [['group', 'tensors', 'numbers', 'learning rate', 'weight decay'], ...rows];
  const widths = table[0].map((_, column) => table.reduce((most, row) => Math.max(most, row[column].length), 0));
  return table
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '))
    .join('\n');
}
