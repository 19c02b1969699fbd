import type { TensorData } from '@rass/weights';
import type { MergeMethod, MergeParameters } from '../methods/method.ts';
import { isFloat } from './checkpoint-node.ts';
import type { Range, ReadContext, TensorNode } from './node.ts';
import type { AlignedKeys } from './unmatched.ts';

/** A stage's models, told apart. */
export interface StageInputs {
  readonly base?: TensorNode;
  /** The others, in the recipe's order. */
  readonly models: readonly TensorNode[];
}

/** A stage that is ready to compute. */
export interface StageNode extends TensorNode {
  readonly method: MergeMethod;
  readonly inputs: StageInputs;
  /** Of each floating-point tensor. */
  readonly parameters: ReadonlyMap<string, MergeParameters>;
}

const allOf = ({ base, models }: StageInputs): readonly TensorNode[] =>
  base === undefined ? models : [base, ...models];

/** Waits for all, whether or not one fails, so that nothing is read any more when the caller hears of it. */
async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

function sameBytes(a: TensorData, b: TensorData): boolean {
  const [x, y] = [a, b].map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return a.dtype === b.dtype && x.length === y.length && x.every((value, i) => value === y[i]);
}

/** A tensor of whole numbers, which must be the same in all. */
async function readCopy(inputs: StageInputs, key: string, context: ReadContext): Promise<TensorData> {
  const nodes = allOf(inputs);
  const [first, ...others] = await settled(nodes.map((node) => node.readRaw(key, context)));
  const other = others.findIndex((each) => !sameBytes(first, each));
  if (other < 0) return first;
  throw new Error(
    `merge: "${key}": a tensor of ${first.dtype} is copied, and the same in all models; got ${nodes[0].name} and ` +
      `${nodes[other + 1].name}, which differ; only floating-point tensors are merged`,
  );
}

/** The node of a stage whose inputs and parameters have been checked. */
export function stageNode(
  name: string,
  method: MergeMethod,
  inputs: StageInputs,
  parameters: ReadonlyMap<string, MergeParameters>,
  { keys, kept }: Pick<AlignedKeys, 'keys' | 'kept'>,
): StageNode {
  const nodes = allOf(inputs);
  const [first] = nodes;
  const known = new Set(keys);
  const ownerOf = (key: string): TensorNode => kept.get(key) ?? first;
  return {
    name,
    method,
    inputs,
    parameters,
    keys,
    has: (key) => known.has(key),
    info: (key) => ownerOf(key).info(key),
    isSliced(key) {
      const owner = kept.get(key);
      if (owner !== undefined) return owner.isSliced(key);
      return method.elementwise && isFloat(first.info(key).dtype) && nodes.every((node) => node.isSliced(key));
    },
    async read(key: string, range: Range, context: ReadContext) {
      const owner = kept.get(key);
      if (owner !== undefined) return owner.read(key, range, context);
      const arrays = await settled(nodes.map((node) => node.read(key, range, context)));
      const out = context.pool.take(range.count);
      const [base, tensors] = inputs.base === undefined ? [undefined, arrays] : [arrays[0], arrays.slice(1)];
      method.merge({ name: key, shape: first.info(key).shape, base, tensors }, parameters.get(key)!, out);
      for (const array of arrays) context.pool.give(array);
      return out;
    },
    readRaw: (key, context) => kept.get(key)?.readRaw(key, context) ?? readCopy(inputs, key, context),
    readBytes: (key) => kept.get(key)?.readBytes(key) ?? nodes.reduce((sum, node) => sum + node.readBytes(key), 0),
    footprint: (key, count) =>
      kept.get(key)?.footprint(key, count) ?? count + nodes.reduce((sum, node) => sum + node.footprint(key, count), 0),
  };
}
