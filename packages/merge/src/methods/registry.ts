import { closest } from '@rass/nn';
import { addDifferenceMethod } from './add-difference.ts';
import { cosineMethod } from './cosine.ts';
import { linearMethod } from './linear.ts';
import type { MergeMethod } from './method.ts';
import { modelStockMethod } from './model-stock.ts';
import { nearswapMethod } from './nearswap.ts';
import { nuslerpMethod } from './nuslerp.ts';
import { passthroughMethod } from './passthrough.ts';
import { slerpMethod } from './slerp.ts';
import { taskMethods } from './task-arithmetic.ts';

/** Every merge method, by the name that recipes use. */
export const mergeMethods: ReadonlyMap<string, MergeMethod> = new Map(
  [
    linearMethod,
    slerpMethod,
    nuslerpMethod,
    ...taskMethods,
    modelStockMethod,
    nearswapMethod,
    addDifferenceMethod,
    cosineMethod,
    passthroughMethod,
  ].map((method) => [method.name, method]),
);

/** @throws when there is no such method, with the closest */
export function methodNamed(where: string, name: string): MergeMethod {
  const method = mergeMethods.get(name);
  if (method !== undefined) return method;
  const names = [...mergeMethods.keys()];
  throw new Error(
    `${where}: merge_method is one of ${names.join(', ')}; got "${name}"; closest: ${closest(name, names)[0]}`,
  );
}
