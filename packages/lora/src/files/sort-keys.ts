import type { LoraConfig } from '../config.ts';
import { keyParts, type Part } from './parts.ts';
import { type PathTable, pathTable, spelledModule } from './paths.ts';
import { isWrapped } from './peft-layers.ts';
import type { AdapterFormat, AdapterReport } from './report.ts';
import type { Shapes } from './shapes.ts';

/** Where one tensor of the file goes. */
export interface Place {
  readonly key: string;
  /** As it stands in the key; undefined in most files. */
  readonly adapter: string | undefined;
  readonly path: string;
  readonly part: Part;
  /** The layer as the file spells it. */
  readonly module: string;
}

export interface Sorted {
  readonly places: readonly Place[];
  readonly report: Omit<AdapterReport, 'toString' | 'incomplete' | 'wrongShape' | 'alpha' | 'twice'>;
}

/** The path in the model of a layer as the file spells it. */
function resolve(name: string, underscored: boolean, table: PathTable | undefined, file: string): string | undefined {
  if (table === undefined) {
    if (!underscored) return name;
    throw new Error(
      `lora: ${file}: its names have underscores for dots, which the model's paths tell apart; got no paths; give leaves(tree).map(({ path }) => path)`,
    );
  }
  return table.find(name, underscored);
}

/** The model that layers are looked up in, as OpenAdapterOptions has it. */
interface Model {
  readonly component?: string;
  readonly paths?: readonly string[];
  readonly shapes?: Shapes;
}

/** Tells what each key is. */
export function sortKeys(file: string, keys: readonly string[], format: AdapterFormat, model: Model): Sorted {
  const { component = 'unet', shapes, paths = shapes && [...shapes.keys()] } = model;
  const table = paths && pathTable(paths);
  const places: Place[] = [];
  const others = new Map<string, string[]>();
  const unused: string[] = [];
  const unknown = new Map<string, readonly string[]>();
  for (const key of keys) {
    const parts = keyParts(key);
    const spelled = parts && spelledModule(parts.module);
    if (parts === undefined || spelled === undefined) {
      unused.push(key);
    } else if (spelled.component !== undefined && spelled.component !== component) {
      others.set(spelled.component, [...(others.get(spelled.component) ?? []), key]);
    } else {
      const { module, part, adapter } = parts;
      const path = resolve(spelled.name, spelled.underscored, table, file);
      if (path === undefined) unknown.set(module, table?.closest(spelled.name.replaceAll('_', '.')) ?? []);
      else places.push({ key, adapter, path, part, module });
    }
  }
  const report = {
    file,
    format,
    used: places.map(({ key }) => key),
    otherComponents: Object.fromEntries(others),
    unused,
    unknown: [...unknown].map(([layer, closest]) => ({ layer, closest })),
  };
  return { places, report };
}

const isWhole = ({ part }: Place): boolean => part === 'weight' || part === 'bias';

/** By path, the first adapter whose name stands in the keys of its factors. */
function namedFactors(places: readonly Place[]): Map<string, string> {
  const named = new Map<string, string>();
  for (const { adapter, path, part } of places)
    if (adapter !== undefined && part === 'down' && !named.has(path)) named.set(path, adapter);
  return named;
}

/** Puts what must not be there among the unused: whole tensors that nothing names, and a difference of a bias beside LoHa or LoKr. Where the state
 * of a model was kept, with the adapters' names in its keys and nothing that names layers trained whole, those beneath a product are. */
export function withoutStrays({ places, report }: Sorted, config: LoraConfig | undefined): Sorted {
  const takesBias = new Set(places.filter(({ part }) => part === 'down' || part === 'diff').map(({ path }) => path));
  const holders = config === undefined ? namedFactors(places) : new Map<string, string>();
  const isAllowed = ({ path, part, adapter }: Place): boolean =>
    report.format === 'rass' ||
    (part === 'bias' && config?.bias !== undefined) ||
    isWrapped(path, config?.modulesToSave ?? []) ||
    (adapter === undefined && holders.has(path));
  const isStray = (place: Place): boolean => {
    if (place.part === 'diffBias') return !takesBias.has(place.path);
    return isWhole(place) && !isAllowed(place);
  };
  const strays = places.filter(isStray).map(({ key }) => key);
  const kept = places
    .filter((place) => !isStray(place))
    .map((place) =>
      isWhole(place) && place.adapter === undefined ? { ...place, adapter: holders.get(place.path) } : place,
    );
  return {
    places: kept,
    report: { ...report, used: kept.map(({ key }) => key), unused: [...report.unused, ...strays] },
  };
}

export type Layers = ReadonlyMap<string, readonly Place[]>;

/** By adapter and layer, the tensors of it. An adapter without a name is `default`. */
export function groupPlaces(places: readonly Place[]): Map<string, Layers> {
  const groups = new Map<string, Map<string, Place[]>>();
  for (const place of places) {
    const name = place.adapter ?? 'default';
    const layers = groups.get(name) ?? new Map<string, Place[]>();
    groups.set(name, layers);
    layers.set(place.path, [...(layers.get(place.path) ?? []), place]);
  }
  return groups;
}

/** Layers that a file spells in two ways, or gives one part of twice: which of them counts nobody can know. */
export function spelledTwice(groups: ReadonlyMap<string, Layers>): { layer: string; keys: string[] }[] {
  return [...groups.values()].flatMap((layers) =>
    [...layers].flatMap(([layer, places]) => {
      const modules = new Set(places.map(({ module }) => module));
      const parts = new Set(places.map(({ part }) => part));
      if (modules.size === 1 && parts.size === places.length) return [];
      return [{ layer, keys: places.map(({ key }) => key) }];
    }),
  );
}
