import { biasDelta, type DoraRule, type HostTensor, type LayerUpdate, updatedWeight } from '@rass/lora';
import { closest } from '@rass/nn';
import { isFloat } from './checkpoint-node.ts';
import { checkFinite } from './finite.ts';
import type { Place } from './layers.ts';
import type { FoldedAdapter } from './lora-file.ts';
import { type ReadContext, sizeOf, type TensorNode } from './node.ts';

/** What an adapter does to one tensor. */
type Change =
  | {
      readonly kind: 'update';
      readonly update: LayerUpdate;
      readonly rsLora: boolean;
      readonly scale: number;
      readonly dora: DoraRule;
    }
  | { readonly kind: 'replace'; readonly value: HostTensor }
  | { readonly kind: 'add'; readonly value: HostTensor; readonly scale: number };

/** What an adapter does, in order: a layer trained whole may have a product on top, as RASS's conv_in has. */
function listChanges({ state, scale, dora = 'peft' }: FoldedAdapter): [key: string, change: Change][] {
  const { rsLora } = state;
  const wholes = [...state.whole].map(([key, value]): [string, Change] => [key, { kind: 'replace', value }]);
  const updates = [...state.layers].flatMap(([path, update]): [string, Change][] => {
    const onWeight: [string, Change] = [`${path}.weight`, { kind: 'update', update, rsLora, scale, dora }];
    const bias = biasDelta(update, rsLora);
    return bias === undefined ? [onWeight] : [onWeight, [`${path}.bias`, { kind: 'add', value: bias, scale }]];
  });
  return [...wholes, ...updates];
}

/** A change of a tensor of the model, or of some of its rows. */
interface PlacedChange {
  readonly place: Place;
  readonly change: Change;
}

function refuse(name: string, rule: string, got: string, remedy: string): never {
  throw new Error(`merge: ${name}: ${rule}; got ${got}; ${remedy}`);
}

/** Where a change goes. @throws when the model has no such tensor, or another one */
function placeOf(base: TensorNode, { name, tensors }: FoldedAdapter, key: string, change: Change): Place {
  const place = tensors.get(key);
  if (place === undefined) {
    const [near] = closest(key, [...tensors.keys()].slice(0, 2000));
    return refuse(name, "an adapter is of the model's layers", `"${key}"`, `closest: ${near}`);
  }
  const { dtype } = base.info(place.key);
  if (!isFloat(dtype)) refuse(name, 'an adapter changes floating-point tensors', `"${key}" ${dtype}`, 'convert it');
  const { shape } = place;
  if (change.kind !== 'update' && change.value.shape.join() !== shape.join()) {
    const got = `[${change.value.shape.join(', ')}] for "${key}" [${shape.join(', ')}]`;
    refuse(name, "a tensor trained whole has the model's shape", got, 'it is of another model');
  }
  return place;
}

function changesOf(base: TensorNode, adapter: FoldedAdapter): Map<string, PlacedChange[]> {
  const changes = new Map<string, PlacedChange[]>();
  for (const [key, change] of listChanges(adapter)) {
    const place = placeOf(base, adapter, key, change);
    changes.set(place.key, [...(changes.get(place.key) ?? []), { place, change }]);
  }
  return changes;
}

type Values = Float32Array<ArrayBuffer>;

/** Whether DoRA's lengths are measured, which are those of the weight without the adapters before. */
const measures = ({ change }: PlacedChange): boolean =>
  change.kind === 'update' && change.update.kind !== 'diff' && change.update.magnitude !== undefined;

const needsBefore = (own: readonly PlacedChange[]): boolean => own.length > 1 && own.some(measures);

/** Folds one change in. `before` is the tensor as the model has it, or as an adapter that was trained whole for it. */
function apply(all: Values, before: Values | undefined, rowCount: number, { place, change }: PlacedChange): void {
  const { rows = [0, rowCount], shape } = place;
  const perRow = all.length / rowCount;
  const part = (tensor: Values): Values => tensor.subarray(rows[0] * perRow, rows[1] * perRow);
  const values = part(all);
  if (change.kind === 'replace' && before !== undefined) part(before).set(change.value.data);
  if (change.kind === 'replace') values.set(change.value.data);
  else if (change.kind === 'add')
    for (let i = 0; i < values.length; i++) values[i] += change.scale * change.value.data[i];
  else {
    const { update, rsLora, scale, dora } = change;
    const base = before && { shape, data: part(before) };
    values.set(updatedWeight(update, { shape, data: values }, rsLora, scale, { dora, ...(base && { base }) }));
  }
}

/** A model with adapters folded into its weights, one after the other. A tensor that an adapter was trained whole for takes the model's
 * place, whatever the scale, but that a scale of 0 leaves all as it is. @throws when an adapter is of another model */
export function loraNode(base: TensorNode, adapters: readonly FoldedAdapter[]): TensorNode {
  const all = adapters.map((adapter) => ({ adapter, changes: changesOf(base, adapter) }));
  const changes = all.filter(({ adapter }) => adapter.scale !== 0).map((each) => each.changes);
  const changed = (key: string): readonly PlacedChange[] => changes.flatMap((each) => each.get(key) ?? []);
  return {
    ...base,
    isSliced: (key) => changed(key).length === 0 && base.isSliced(key),
    async read(key, range, context: ReadContext) {
      const values = await base.read(key, range, context);
      const [rowCount = 1] = base.info(key).shape;
      const own = changed(key);
      const before = needsBefore(own) ? values.slice() : undefined;
      for (const change of own) apply(values, before, rowCount, change);
      if (own.length > 0 && !context.mayBeNonFinite(key)) checkFinite(`${base.name} with adapters`, key, values, 0);
      return values;
    },
    // The product and the weight without adapters lie beside the weight.
    footprint: (key, count) => {
      const own = changed(key);
      const copies = own.length === 0 ? 0 : needsBefore(own) ? 3 : 2;
      return base.footprint(key, count) + copies * sizeOf(base.info(key).shape);
    },
  };
}
