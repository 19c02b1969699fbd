import { type Checkpoint, type KeyNames, openCheckpoint, readFloat32 } from '@rass/weights';
import type { LoraConfig } from '../config.ts';
import type { AdapterState, HostTensor, LayerUpdate } from '../state.ts';
import { alphaRule } from './alpha.ts';
import { configOf, formatOf, hasAdapterNames } from './format.ts';
import { type AlphaOf, type LayerParts, layerUpdate, missingPart } from './layer.ts';
import type { Part } from './parts.ts';
import { rassLayout } from './rass.ts';
import { AdapterFileError, type AdapterReport, type AlphaSource, adapterReport } from './report.ts';
import { type Shapes, wrongShapes } from './shapes.ts';
import { groupPlaces, type Layers, sortKeys, spelledTwice, withoutStrays } from './sort-keys.ts';

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
  /** Alpha of layers of which the file says none: neither a tensor nor a configuration. Default: PEFT's, 8, for the state of a PEFT model with
   * the adapters' names in its keys, OSEDiff's, PiSA-SR's and RASS's among them; for diffusers' and kohya's files the rank. */
  alpha?: number;
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

const isNamed = (key: string, names: KeyNames = []): boolean =>
  names.some((name) => (typeof name === 'string' ? name === key : key.search(name) >= 0));

function checkReport(report: AdapterReport, options: OpenAdapterOptions): void {
  const unused = report.unused.filter((key) => !isNamed(key, options.allowUnused));
  const unknown = report.unknown.filter(({ layer }) => !isNamed(layer, options.allowUnused));
  const counts = [
    [unused.length, 'unused'],
    [unknown.length, 'of unknown layers'],
    [report.incomplete.length, 'incomplete'],
    [report.twice.length, 'spelled twice'],
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
  layers: Layers,
  alphaOf: AlphaOf,
  config: LoraConfig | undefined,
): Promise<AdapterState> {
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

function incompleteLayers(groups: ReadonlyMap<string, Layers>): AdapterReport['incomplete'] {
  return [...groups.values()].flatMap((layers) =>
    [...layers].flatMap(([layer, all]) => {
      const missing = missingPart(Object.fromEntries(all.map(({ part }) => [part, true])) as unknown as LayerParts);
      return missing === undefined ? [] : [{ layer, missing }];
    }),
  );
}

const SCALED: ReadonlySet<Part> = new Set(['down', 'embeddingDown', 'hada_w1_a', 'lokr_w1_a', 'lokr_w2_a']);

/** Whether each layer that is scaled has its own alpha. */
const hasAlphas = (groups: ReadonlyMap<string, Layers>): boolean =>
  [...groups.values()].every((layers) =>
    [...layers.values()].every(
      (all) => all.some(({ part }) => part === 'alpha') || !all.some(({ part }) => SCALED.has(part)),
    ),
  );

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
  const hasNames = hasAdapterNames(keys);
  const rule = alphaRule({ file: checkpoint.name, format, config, hasNames, alpha: options.alpha });
  const groups = groupPlaces(places);
  const incomplete = incompleteLayers(groups);
  const alpha: AlphaSource = hasAlphas(groups) ? 'file' : rule.source;
  const parts = { ...report, incomplete, alpha, twice: spelledTwice(groups) };
  checkReport(adapterReport({ ...parts, wrongShape: [] }), options);
  const states = new Map<string, AdapterState>();
  for (const [name, layers] of groups) states.set(name, await readState(view, layers, rule.of, config));
  // From entries each name is the object's own, whatever it is.
  const read = Object.fromEntries(states);
  const adapters = rass?.finish(read) ?? read;
  const { shapes = new Map() } = options;
  const wrongShape = Object.values(adapters).flatMap((state) => wrongShapes(state, shapes));
  const full = adapterReport({ ...parts, wrongShape });
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
