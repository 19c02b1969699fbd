import { closest } from '@rass/nn';
import * as v from 'valibot';
import type { ParameterSpec, ParameterValue } from '../methods/parameter.ts';
import type { Depth } from './depth.ts';
import type { Condition, Setting, SettingValue } from './recipe.ts';

/** What a recipe says of one parameter in one place, checked. */
export interface CheckedSetting {
  /** The value for a tensor; undefined where no condition fits. */
  valueFor(key: string): ParameterValue | undefined;
  /** @throws naming a condition that no tensor has needed */
  checkUsed(): void;
}

interface Rule {
  readonly condition: Condition;
  readonly values: readonly ParameterValue[];
  used: number;
}

const LISTED = 2000;

const ALL = '*';

function matches({ filter, block }: Condition, key: string): boolean {
  // Whole steps of the path: "up_blocks.1" is not in "up_blocks.10".
  if (block !== undefined) return `.${key}.`.includes(`.${block}.`);
  return filter === undefined || filter === ALL || key.includes(filter);
}

/** Parts of the names that a filter or a block may mean. */
function namesLike(wanted: string, keys: readonly string[]): string {
  const names = new Set<string>();
  for (const key of keys) {
    const steps = key.split('.');
    for (let i = 1; i <= steps.length && names.size < LISTED; i++) {
      names.add(steps.slice(0, i).join('.'));
      names.add(steps[i - 1]);
    }
  }
  return closest(wanted, [...names], 2).join(', ');
}

function conditionsOf(setting: Setting): readonly Condition[] {
  if (typeof setting !== 'object') return [{ value: setting }];
  if (!Array.isArray(setting)) return [setting as Condition];
  const list = setting as readonly (number | Condition)[];
  return typeof list[0] === 'object' ? (list as readonly Condition[]) : [{ value: list as readonly number[] }];
}

function checkedValues(where: string, spec: ParameterSpec, value: SettingValue, depth: Depth): ParameterValue[] {
  const list = typeof value === 'object' ? value : [value];
  if (typeof value === 'object' && spec.kind !== 'number') {
    throw new Error(`${where}: a list is a gradient of numbers; got one for a ${spec.kind}; give one value`);
  }
  if (list.length > 1 && depth.blocks.length < 2) {
    throw new Error(
      `${where}: a list is a gradient over down_blocks, mid_block and up_blocks; got a model without; use filters`,
    );
  }
  return list.map((each) => {
    const result = v.safeParse(spec.schema, each);
    if (result.success) return result.output;
    throw new Error(`${where}: it is ${spec.allowed}; got ${JSON.stringify(each)}; ${spec.summary}`);
  });
}

/** Between the values of a gradient, of which the first stands at 0 and the last at 1. */
function interpolated(values: readonly ParameterValue[], position: number): ParameterValue {
  if (values.length === 1) return values[0];
  const scaled = position * (values.length - 1);
  const lower = Math.min(Math.floor(scaled), values.length - 2);
  const share = scaled - lower;
  return (1 - share) * Number(values[lower]) + share * Number(values[lower + 1]);
}

const nameOf = ({ filter, block }: Condition): string =>
  block !== undefined ? `block "${block}"` : filter !== undefined ? `filter "${filter}"` : 'the value for all';

/** Checks a setting against its parameter and the names of the tensors.
 * @throws when a value is not allowed, or a filter or block means no tensor */
export function checkSetting(
  where: string,
  spec: ParameterSpec,
  setting: Setting,
  keys: readonly string[],
  depth: Depth,
): CheckedSetting {
  const rules = conditionsOf(setting).map((condition): Rule => {
    const wanted = condition.block ?? condition.filter;
    if (wanted !== undefined && (wanted === '' || !keys.some((key) => matches(condition, key)))) {
      throw new Error(
        `${where}: a filter or block means at least one tensor; got ${nameOf(condition)}; closest: ${namesLike(wanted, keys)}`,
      );
    }
    return { condition, values: checkedValues(where, spec, condition.value, depth), used: 0 };
  });
  return {
    valueFor(key) {
      const rule = rules.find(({ condition }) => matches(condition, key));
      if (rule === undefined) return undefined;
      rule.used++;
      return interpolated(rule.values, depth.positionOf(key));
    },
    checkUsed() {
      const idle = rules.find(({ used }) => used === 0);
      if (idle === undefined) return;
      throw new Error(
        `${where}: what a recipe says is used; got ${nameOf(idle.condition)}, which others come before; leave it out, or put it first`,
      );
    },
  };
}
