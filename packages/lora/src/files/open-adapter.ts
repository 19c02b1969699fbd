import { type Checkpoint, type KeyNames, openCheckpoint, parseJson, readFloat32 } from '@rass/weights';
import { type LoraConfig, rankAndAlpha } from '../config.ts';
import type { AdapterState, HostTensor, LayerUpdate } from '../state.ts';
import { type AlphaOf, type LayerParts, layerUpdate, missingPart } from './layer.ts';
import { keyParts, type Part } from './parts.ts';
import { type PathTable, pathTable, spelledModule } from './paths.ts';
import { parsePeftConfig } from './peft-config.ts';
import { rassLayout } from './rass.ts';
import { AdapterFileError, type AdapterFormat, type AdapterReport, adapterReport } from './report.ts';
import { type Shapes, wrongShapes } from './shapes.ts';

export interface OpenAdapterOptions {
  /** Which part of the pipeline; default `unet`. Files of one model alone have no parts. */
  component?: string;
  /** The paths of the model's layers: `leaves(tree).map(({ path }) => path)`. With them every layer of the file is looked up;
   * kohya's and LyCORIS' files, which have underscores for dots, cannot be read without. */
  paths?: readonly string[];
  /** The shapes of the model's weights by path: `layerShapes(tree)`. Stands for `paths`; layers of other sizes are reported. */
  shapes?: Shapes;
  /** PEFT's adapter_config.json, where it lies beside the file. */
  config?: unknown;
  /** Keys that may mean nothing: by name or pattern. */
  allowUnused?: KeyNames;
  /** What an error tells a program's user to do about them; default to name them in allowUnused. */
  unusedRemedy?: string;
}

/** What a file holds. */
export interface OpenedAdapter {
  /** By name; `default` where the file has no names. RASS's and OSEDiff's have three. */
  readonly adapters: Readonly<Record<string, AdapterState>>;
  readonly report: AdapterReport;
}

/** Where one tensor of the file goes. */
interface Place {
  readonly key: string;
  readonly adapter: string;
  readonly path: string;
  readonly part: Part;
}

interface Sorted {
  readonly places: readonly Place[];
  readonly report: Omit<AdapterReport, 'toString' | 'incomplete' | 'wrongShape'>;
}

const isNamed = (key: string, names: KeyNames = []): boolean =>
  names.some((name) => (typeof name === 'string' ? name === key : key.search(name) >= 0));

function formatOf(keys: readonly string[], config: unknown): AdapterFormat {
  if (keys.some((key) => /^(lora_(unet|te\d?)|lycoris)_/.test(key))) return 'kohya';
  return config !== undefined || keys.some((key) => key.startsWith('base_model.model.')) ? 'peft' : 'diffusers';
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

/** Tells what each key is. */
function sortKeys(file: string, keys: readonly string[], format: AdapterFormat, options: OpenAdapterOptions): Sorted {
  const { component = 'unet', shapes, paths = shapes && [...shapes.keys()] } = options;
  const table = paths && pathTable(paths);
  const places: Place[] = [];
  const others: Record<string, string[]> = {};
  const unused: string[] = [];
  const unknown = new Map<string, readonly string[]>();
  for (const key of keys) {
    const parts = keyParts(key);
    const spelled = parts && spelledModule(parts.module);
    if (parts === undefined || spelled === undefined) {
      unused.push(key);
    } else if (spelled.component !== undefined && spelled.component !== component) {
      others[spelled.component] = [...(others[spelled.component] ?? []), key];
    } else {
      const path = resolve(spelled.name, spelled.underscored, table, file);
      if (path === undefined) unknown.set(parts.module, table?.closest(spelled.name.replaceAll('_', '.')) ?? []);
      else places.push({ key, adapter: parts.adapter ?? 'default', path, part: parts.part });
    }
  }
  const report = {
    file,
    format,
    used: places.map(({ key }) => key),
    otherComponents: others,
    unused,
    unknown: [...unknown].map(([layer, closest]) => ({ layer, closest })),
  };
  return { places, report };
}

/** By adapter and layer, the tensors of it. */
function groupPlaces(places: readonly Place[]): Map<string, Map<string, Place[]>> {
  const groups = new Map<string, Map<string, Place[]>>();
  for (const place of places) {
    const layers = groups.get(place.adapter) ?? new Map<string, Place[]>();
    groups.set(place.adapter, layers);
    layers.set(place.path, [...(layers.get(place.path) ?? []), place]);
  }
  return groups;
}

/** A tensor that stands for a layer's own, such as modules_to_save: allowed where something says so. */
function isWholeAllowed({ path, part }: Place, format: AdapterFormat, config: LoraConfig | undefined): boolean {
  if (format === 'rass' || (part === 'bias' && config?.bias !== undefined)) return true;
  return (config?.modulesToSave ?? []).some((name) => path === name || path.endsWith(`.${name}`));
}

function checkReport(report: AdapterReport, options: OpenAdapterOptions): void {
  const unused = report.unused.filter((key) => !isNamed(key, options.allowUnused));
  const unknown = report.unknown.filter(({ layer }) => !isNamed(layer, options.allowUnused));
  const counts = [
    [unused.length, 'unused'],
    [unknown.length, 'of unknown layers'],
    [report.incomplete.length, 'incomplete'],
    [report.wrongShape.length, 'of another shape'],
    [report.used.length === 0 ? 1 : 0, 'empty'],
  ] as const;
  const found = counts.filter(([count]) => count > 0);
  if (found.length === 0) return;
  const got = found.map(([count, what]) => (what === 'empty' ? 'no key of an adapter' : `${count} ${what}`)).join(', ');
  const { unusedRemedy = 'what may mean nothing is named in allowUnused' } = options;
  const mayBeAllowed = unused.length + unknown.length > 0;
  const remedy = `look at the report; ${mayBeAllowed ? unusedRemedy : 'the adapter is of another model, or damaged'}`;
  throw new AdapterFileError(`lora: a file of an adapter fits as a whole; got ${got}; ${remedy}\n${report}`, report);
}

/** What a format means where no alpha is given. @source peft LoraConfig; diffusers, kohya: alpha is the rank */
function alphaRule(file: string, format: AdapterFormat, config: LoraConfig | undefined): AlphaOf {
  if (format === 'peft' && config === undefined) {
    throw new Error(
      `lora: ${file}: PEFT keeps alpha in adapter_config.json; got none; open the folder, or give config`,
    );
  }
  // OSEDiff and RASS never set PEFT's alpha, which is 8 whatever the rank.
  if (format === 'rass') return () => 8;
  if (config === undefined) return (_, rank) => rank;
  return (layer) => rankAndAlpha(config, layer).alpha;
}

async function readHost(checkpoint: Checkpoint, key: string): Promise<HostTensor> {
  const data = await readFloat32(checkpoint, key);
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new Error(
      `lora: ${checkpoint.name}: values are finite; got ${data[at]} at ${at} of "${key}"; the file is damaged`,
    );
  return { shape: checkpoint.info(key).shape, data };
}

async function readState(
  checkpoint: Checkpoint,
  layers: ReadonlyMap<string, readonly Place[]>,
  format: AdapterFormat,
  config: LoraConfig | undefined,
): Promise<AdapterState> {
  const alphaOf = alphaRule(checkpoint.name, format, config);
  const updates = new Map<string, LayerUpdate>();
  const whole = new Map<string, HostTensor>();
  for (const [path, places] of layers) {
    const parts: LayerParts = {};
    for (const { key, part } of places) parts[part] = await readHost(checkpoint, key);
    const update = layerUpdate(path, parts, alphaOf);
    if (update !== undefined) updates.set(path, update);
    if (parts.weight !== undefined) whole.set(`${path}.weight`, parts.weight);
    if (parts.bias !== undefined) whole.set(`${path}.bias`, parts.bias);
  }
  return { ...(config && { config }), rsLora: config?.rsLora ?? false, layers: updates, whole };
}

function parseMetadata(file: string, text: string): Readonly<Record<string, unknown>> {
  const [start] = text.trim();
  try {
    if (start === '{') return parseJson(text) as Record<string, unknown>;
  } catch {}
  throw new Error(
    `lora: ${file}: lora_adapter_metadata is a JSON object; got ${text.slice(0, 40)}; the file is damaged`,
  );
}

/** PEFT's configuration: from beside the file, or from diffusers' metadata, where its fields have the component before them. */
function configOf(checkpoint: Checkpoint, { config, component = 'unet' }: OpenAdapterOptions): LoraConfig | undefined {
  if (config !== undefined) return parsePeftConfig(config, `${checkpoint.name}: adapter_config.json`);
  const text = checkpoint.metadata.lora_adapter_metadata;
  if (text === undefined) return undefined;
  const all = Object.entries(parseMetadata(checkpoint.name, text));
  const own = all
    .filter(([name]) => name.startsWith(`${component}.`))
    .map(([name, value]) => [name.slice(component.length + 1), value]);
  const fields = own.length > 0 ? own : all.filter(([name]) => !name.includes('.'));
  return fields.length === 0
    ? undefined
    : parsePeftConfig(Object.fromEntries(fields), `${checkpoint.name}: lora_adapter_metadata`);
}

/** Puts what must not be there among the unused: whole tensors that nothing names, and a difference of a bias beside LoHa or LoKr. */
function withoutStrays({ places, report }: Sorted, config: LoraConfig | undefined): Sorted {
  const takesBias = new Set(places.filter(({ part }) => part === 'down' || part === 'diff').map(({ path }) => path));
  const isStray = (place: Place): boolean => {
    const { part, path } = place;
    if (part === 'diffBias') return !takesBias.has(path);
    return (part === 'weight' || part === 'bias') && !isWholeAllowed(place, report.format, config);
  };
  const strays = places.filter(isStray).map(({ key }) => key);
  const kept = places.filter((place) => !isStray(place));
  return {
    places: kept,
    report: { ...report, used: kept.map(({ key }) => key), unused: [...report.unused, ...strays] },
  };
}

/** Reads an adapter, told by its content: PEFT's, diffusers', kohya's and LyCORIS' (LoCon, LoHa, LoKr), and the pickles of OSEDiff and RASS.
 * The checkpoint is left open.
 * @throws AdapterFileError, with a report of every key, when the file fits only in part; Error when factors do not fit each other */
export async function readAdapter(checkpoint: Checkpoint, options: OpenAdapterOptions = {}): Promise<OpenedAdapter> {
  const rass = rassLayout(checkpoint, options.component);
  const view = rass?.view ?? checkpoint;
  const keys = view.keys();
  const config = rass === undefined ? configOf(view, options) : undefined;
  const format = rass === undefined ? formatOf(keys, options.config) : 'rass';
  const { places, report } = withoutStrays(sortKeys(checkpoint.name, keys, format, options), config);
  const groups = groupPlaces(places);
  const incomplete = [...groups.values()].flatMap((layers) =>
    [...layers].flatMap(([layer, all]) => {
      const missing = missingPart(Object.fromEntries(all.map(({ part }) => [part, true])) as unknown as LayerParts);
      return missing === undefined ? [] : [{ layer, missing }];
    }),
  );
  checkReport(adapterReport({ ...report, incomplete, wrongShape: [] }), options);
  const states: Record<string, AdapterState> = {};
  for (const [name, layers] of groups) states[name] = await readState(view, layers, format, config);
  const adapters = rass?.finish(states) ?? states;
  const { shapes = new Map() } = options;
  const wrongShape = Object.values(adapters).flatMap((state) => wrongShapes(state, shapes));
  const full = adapterReport({ ...report, incomplete, wrongShape });
  checkReport(full, options);
  return { adapters, report: full };
}

/** Opens and reads an adapter's file from a URL, a Blob or bytes; paths are taken by `@rass/lora/node`.
 * @throws like readAdapter, or with the errors of openCheckpoint of @rass/weights */
export async function openAdapter(
  from: Parameters<typeof openCheckpoint>[0],
  options: OpenAdapterOptions = {},
): Promise<OpenedAdapter> {
  const checkpoint = await openCheckpoint(from);
  try {
    return await readAdapter(checkpoint, options);
  } finally {
    await checkpoint.close();
  }
}
