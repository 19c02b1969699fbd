import {
  type AdapterState,
  biasDelta,
  type HostTensor,
  type LayerUpdate,
  type OpenedAdapter,
  updatedWeight,
} from '@rass/lora';
import { closest } from '@rass/nn';
import { checkFinite } from './finite.ts';
import { type ReadContext, sizeOf, type TensorNode } from './node.ts';

/** An adapter and how strongly it acts. */
export interface FoldedAdapter {
  readonly name: string;
  readonly state: AdapterState;
  readonly scale: number;
}

/** What an adapter does to one tensor. */
type Change =
  | { readonly kind: 'update'; readonly update: LayerUpdate; readonly rsLora: boolean; readonly scale: number }
  | { readonly kind: 'replace'; readonly value: HostTensor }
  | { readonly kind: 'add'; readonly value: HostTensor; readonly scale: number };

/** The one adapter of a file that is meant. @throws naming those that it has */
export function chooseAdapter(where: string, { adapters }: OpenedAdapter, name: string | undefined): AdapterState {
  const names = Object.keys(adapters);
  if (name === undefined && names.length === 1) return adapters[names[0]];
  if (name !== undefined && Object.hasOwn(adapters, name)) return adapters[name];
  const remedy =
    name === undefined ? 'set adapter, or add an entry of loras for each' : `closest: ${closest(name, names)[0]}`;
  throw new Error(
    `${where}: adapter is one of ${names.join(', ')}; got ${name === undefined ? 'none' : `"${name}"`}; ${remedy}`,
  );
}

/** What an adapter does, in order: a layer trained whole may have a product on top, as RASS's conv_in has. */
function listChanges({ state, scale }: FoldedAdapter): [key: string, change: Change][] {
  const { rsLora } = state;
  const wholes = [...state.whole].map(([key, value]): [string, Change] => [key, { kind: 'replace', value }]);
  const updates = [...state.layers].flatMap(([path, update]): [string, Change][] => {
    const onWeight: [string, Change] = [`${path}.weight`, { kind: 'update', update, rsLora, scale }];
    const bias = biasDelta(update, rsLora);
    return bias === undefined ? [onWeight] : [onWeight, [`${path}.bias`, { kind: 'add', value: bias, scale }]];
  });
  return [...wholes, ...updates];
}

function changesOf(base: TensorNode, adapter: FoldedAdapter): Map<string, Change[]> {
  const changes = new Map<string, Change[]>();
  const { name } = adapter;
  for (const [key, change] of listChanges(adapter)) {
    changes.set(key, [...(changes.get(key) ?? []), change]);
    if (!base.has(key)) {
      const [near] = closest(key, base.keys.slice(0, 2000));
      throw new Error(`merge: ${name}: an adapter is of the model's layers; got "${key}"; closest: ${near}`);
    }
    const { shape } = base.info(key);
    if (change.kind !== 'update' && change.value.shape.join() !== shape.join()) {
      throw new Error(
        `merge: ${name}: a tensor trained whole has the model's shape; got [${change.value.shape.join(', ')}] for "${key}" ` +
          `[${shape.join(', ')}]; it is of another model`,
      );
    }
  }
  return changes;
}

function apply(values: Float32Array<ArrayBuffer>, shape: readonly number[], change: Change): void {
  if (change.kind === 'replace') values.set(change.value.data);
  else if (change.kind === 'add')
    for (let i = 0; i < values.length; i++) values[i] += change.scale * change.value.data[i];
  else values.set(updatedWeight(change.update, { shape, data: values }, change.rsLora, change.scale));
}

/** A model with adapters folded into its weights, one after the other. A tensor that an adapter was trained whole for takes the model's
 * place, whatever the scale. @throws when an adapter is of another model */
export function loraNode(base: TensorNode, adapters: readonly FoldedAdapter[]): TensorNode {
  const changes = adapters.map((adapter) => changesOf(base, adapter));
  const changed = (key: string): readonly Change[] => changes.flatMap((each) => each.get(key) ?? []);
  return {
    ...base,
    isSliced: (key) => changed(key).length === 0 && base.isSliced(key),
    async read(key, range, context: ReadContext) {
      const values = await base.read(key, range, context);
      const { shape } = base.info(key);
      const own = changed(key);
      for (const change of own) apply(values, shape, change);
      if (own.length > 0 && !context.mayBeNonFinite(key)) checkFinite(`${base.name} with adapters`, key, values, 0);
      return values;
    },
    // The product and the sum lie beside the weight.
    footprint: (key, count) =>
      base.footprint(key, count) + (changed(key).length > 0 ? 2 * sizeOf(base.info(key).shape) : 0),
  };
}
