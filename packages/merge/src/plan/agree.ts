import { closest } from '@rass/nn';
import { isFloat } from './checkpoint-node.ts';
import type { TensorNode } from './node.ts';

const LISTED = 3;
const COMPARED = 2000;

const shown = (keys: readonly string[]): string =>
  `${keys.slice(0, LISTED).join(', ')}${keys.length > LISTED ? ` and ${keys.length - LISTED} more` : ''}`;

function checkKeys(where: string, a: TensorNode, b: TensorNode): void {
  const missing = a.keys.filter((key) => !b.has(key));
  if (missing.length === 0) return;
  const [near] = closest(missing[0], b.keys.slice(0, COMPARED));
  throw new Error(
    `${where}: models that are merged have the same tensors; got ${missing.length} of ${a.name} that ${b.name} lacks: ` +
      `${shown(missing)}; ${near === undefined ? 'it has none' : `closest: ${near}`}; or set unmatched: keep or drop`,
  );
}

function checkTensor(where: string, key: string, a: TensorNode, b: TensorNode): void {
  const [first, other] = [a.info(key), b.info(key)];
  if (first.shape.join() !== other.shape.join()) {
    throw new Error(
      `${where}: a tensor has one shape in all models; got "${key}" [${first.shape.join(', ')}] in ${a.name} and ` +
        `[${other.shape.join(', ')}] in ${b.name}; they are of different architectures`,
    );
  }
  if (isFloat(first.dtype) === isFloat(other.dtype)) return;
  throw new Error(
    `${where}: a tensor is a floating-point one in all models, or in none; got "${key}" ${first.dtype} in ${a.name} and ` +
      `${other.dtype} in ${b.name}; convert one`,
  );
}

/** Checks that models have the same tensors of the same shapes; `common` are those that are compared where others may differ.
 * @throws naming those that differ */
export function checkAgreement(where: string, nodes: readonly TensorNode[], common?: readonly string[]): void {
  const [first, ...others] = nodes;
  for (const other of others) {
    if (common === undefined) {
      checkKeys(where, first, other);
      checkKeys(where, other, first);
    }
    for (const key of common ?? first.keys) checkTensor(where, key, first, other);
  }
}
