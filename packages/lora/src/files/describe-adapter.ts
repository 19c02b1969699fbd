import { printable } from '@rass/nn';
import { type Checkpoint, readFloat32, type TorchCheckpoint } from '@rass/weights';
import type { LoraConfig } from '../config.ts';
import { scaleFor } from '../product.ts';
import { type AlphaRule, alphaRule } from './alpha.ts';
import { configOf, formatOf, hasAdapterNames, isPrefixed } from './format.ts';
import { keyParts, type Part } from './parts.ts';
import { spelledModule } from './paths.ts';
import { rassLayout } from './rass.ts';
import type { AdapterFormat, AlphaSource } from './report.ts';

/** What an adapter's file has for one part of the pipeline. */
export interface AdapterComponent {
  /** `unet`, `text_encoder`; undefined where the file is of one model alone. */
  readonly component?: string;
  /** The adapters' names, where keys have them. */
  readonly names: readonly string[];
  readonly layers: number;
  /** Layers of each kind. */
  readonly kinds: Readonly<Partial<Record<AdapterKind, number>>>;
  /** Layers of each rank. */
  readonly ranks: readonly { rank: number; layers: number }[];
  /** Layers of each alpha; empty where nothing says it. */
  readonly alphas: readonly { alpha: number; scale: number; layers: number }[];
  /** Layers that are trained whole. */
  readonly whole: number;
  /** What its sizes fit, as far as they tell. */
  readonly fits?: string;
}

export type AdapterKind = 'LoRA' | 'DoRA' | 'LoHa' | 'LoKr' | 'whole differences';

/** What an adapter's file holds, by its keys and sizes; no model is needed. */
export interface AdapterDescription {
  readonly file: string;
  readonly format: AdapterFormat;
  /** Where alpha comes from, for layers of which the file itself says none. */
  readonly alpha: AlphaSource | 'unknown';
  readonly components: readonly AdapterComponent[];
  /** Keys that are no part of an adapter. */
  readonly others: number;
  /** Lines to be printed. */
  toString(): string;
}

/** A layer as a file spells it, with the keys of its parts. */
interface Layer {
  readonly component: string | undefined;
  readonly name: string;
  readonly adapter: string | undefined;
  readonly keys: Map<Part, string>;
  readonly isPeft: boolean;
}

const KINDS: readonly (readonly [Part, AdapterKind])[] = [
  ['down', 'LoRA'],
  ['embeddingDown', 'LoRA'],
  ['hada_w1_a', 'LoHa'],
  ['lokr_w1', 'LoKr'],
  ['lokr_w1_a', 'LoKr'],
  ['diff', 'whole differences'],
];

function kindOf({ keys }: Layer): AdapterKind | undefined {
  const kind = KINDS.find(([part]) => keys.has(part))?.[1];
  const hasLengths = keys.has('magnitude') || keys.has('doraScale');
  return kind === 'LoRA' && hasLengths ? 'DoRA' : kind;
}

/** Which tensor's first size is the rank. */
const RANKED: readonly Part[] = ['down', 'embeddingDown', 'hada_w1_b', 'lokr_w2_b', 'lokr_w1_b'];

/** One model's keys of a checkpoint. */
interface Keys {
  readonly checkpoint: Checkpoint;
  readonly component?: string;
}

/** RASS's and OSEDiff's pickles keep each part of the pipeline by itself. */
function partsOf(checkpoint: Checkpoint): Keys[] {
  const value = (checkpoint as Partial<TorchCheckpoint>).value;
  const has = (name: string) => typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  const parts = [
    ['unet', 'state_dict_unet'],
    ['vae', 'state_dict_vae'],
    ['text_encoder', 'state_dict_text'],
  ] as const;
  const own = parts.flatMap(([component, dict]): Keys[] => {
    const layout = has(dict) ? rassLayout(checkpoint, component) : undefined;
    return layout === undefined ? [] : [{ checkpoint: layout.view, component }];
  });
  return own.length > 0 ? own : [{ checkpoint }];
}

function layersOf({ checkpoint, component }: Keys): { layers: Layer[]; others: number } {
  const layers = new Map<string, Layer>();
  let others = 0;
  for (const key of checkpoint.keys()) {
    const parts = keyParts(key);
    if (parts === undefined) {
      others++;
      continue;
    }
    const spelled = spelledModule(parts.module);
    const id = JSON.stringify([parts.module, parts.adapter]);
    const own = {
      component: component ?? spelled.component,
      name: spelled.name,
      adapter: parts.adapter,
      isPeft: isPrefixed(key),
    };
    const layer = layers.get(id) ?? { ...own, keys: new Map<Part, string>() };
    layers.set(id, layer);
    layer.keys.set(parts.part, key);
  }
  const known = [...layers.values()];
  const under = new Set(known.filter((layer) => kindOf(layer) !== undefined).map(({ name }) => name));
  // PEFT's files have nothing but the adapter: what is no factor there is trained whole.
  const isOwn = (layer: Layer): boolean => kindOf(layer) !== undefined || under.has(layer.name) || layer.isPeft;
  const strays = known.filter((layer) => !isOwn(layer));
  return { layers: known.filter(isOwn), others: others + strays.reduce((sum, { keys }) => sum + keys.size, 0) };
}

const UNETS: Readonly<Record<number, string>> = {
  768: 'Stable Diffusion 1.x',
  1024: 'Stable Diffusion 2.x',
  2048: 'Stable Diffusion XL',
};
const TEXT_ENCODERS: Readonly<Record<number, string>> = {
  768: "CLIP ViT-L, Stable Diffusion 1.x's and XL's first",
  1024: "OpenCLIP ViT-H, Stable Diffusion 2.x's",
  1280: "OpenCLIP ViT-bigG, Stable Diffusion XL's second",
};

/** The inputs of a layer whose name ends so, as the factors' sizes tell them. */
function inputsOf(checkpoint: Checkpoint, layers: readonly Layer[], ending: RegExp): number | undefined {
  for (const { name, keys } of layers) {
    const key = ending.test(name) ? (keys.get('down') ?? keys.get('hada_w1_b')) : undefined;
    if (key !== undefined) return checkpoint.info(key).shape[1];
  }
  return undefined;
}

/** What a component's sizes fit: the width of the text in cross-attention tells the Stable Diffusions apart. */
function fitOf(checkpoint: Checkpoint, layers: readonly Layer[]): string | undefined {
  const text = inputsOf(checkpoint, layers, /attn2[._]to_[kv]$/);
  if (text !== undefined) return UNETS[text] ?? `a UNet whose text has ${text} channels`;
  const width = inputsOf(checkpoint, layers, /self_attn[._][qkv]_proj$/);
  if (width !== undefined) return TEXT_ENCODERS[width] ?? `a text encoder of ${width} channels`;
  const isTransformer = layers.some(({ name }) =>
    /(^|[._])(double|single)(_transformer)?_blocks[._]|^transformer_blocks[._]/.test(name),
  );
  return isTransformer
    ? 'a diffusion transformer, such as Flux or Stable Diffusion 3, which is not read here'
    : undefined;
}

/** How often each value is there, the most frequent first. */
function counted(values: readonly number[]): [value: number, count: number][] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

interface Context {
  readonly checkpoint: Checkpoint;
  readonly rule: AlphaRule | undefined;
  readonly rsLora: boolean;
}

/** The rank of a layer, and alpha where something says it. */
async function scaling(layer: Layer, { checkpoint, rule }: Context): Promise<{ rank?: number; alpha?: number }> {
  const ranked = RANKED.find((part) => layer.keys.has(part));
  if (ranked === undefined) return {};
  const [rank] = checkpoint.info(layer.keys.get(ranked) as string).shape;
  const own = layer.keys.get('alpha');
  const alpha = own === undefined ? rule?.of(layer.name, rank) : (await readFloat32(checkpoint, own))[0];
  return { rank, ...(alpha !== undefined && { alpha }) };
}

async function describeComponent(layers: readonly Layer[], context: Context): Promise<AdapterComponent> {
  const [component] = layers.map((layer) => layer.component);
  const kinds: Partial<Record<AdapterKind, number>> = {};
  const ranks: number[] = [];
  const alphas = new Map<string, { alpha: number; scale: number; layers: number }>();
  for (const layer of layers) {
    const kind = kindOf(layer);
    if (kind === undefined) continue;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    const { rank, alpha } = await scaling(layer, context);
    if (rank === undefined) continue;
    ranks.push(rank);
    if (alpha === undefined) continue;
    const scale = scaleFor(alpha, rank, context.rsLora);
    const known = alphas.get(`${alpha} ${scale}`) ?? { alpha, scale, layers: 0 };
    alphas.set(`${alpha} ${scale}`, { ...known, layers: known.layers + 1 });
  }
  const fits = fitOf(context.checkpoint, layers);
  const adapted = layers.filter((layer) => kindOf(layer) !== undefined);
  return {
    ...(component !== undefined && { component }),
    names: [...new Set(adapted.flatMap(({ adapter }) => adapter ?? []))],
    layers: adapted.length,
    kinds,
    ranks: counted(ranks).map(([rank, count]) => ({ rank, layers: count })),
    alphas: [...alphas.values()].sort((a, b) => b.layers - a.layers),
    whole: layers.filter(({ keys }) => keys.has('weight')).length,
    ...(fits !== undefined && { fits }),
  };
}

function ruleFor(checkpoint: Checkpoint, format: AdapterFormat, config: LoraConfig | undefined): AlphaRule | undefined {
  const keys = checkpoint.keys();
  const rule = alphaRule({ file: checkpoint.name, format, config, hasNames: hasAdapterNames(keys), alpha: undefined });
  // PEFT's files alone do not say their alpha.
  return format === 'peft' && config === undefined && !hasAdapterNames(keys) ? undefined : rule;
}

const SOURCES: Readonly<Record<AlphaSource | 'unknown', string>> = {
  file: 'in the file',
  configuration: "in PEFT's configuration",
  given: 'as given',
  rank: 'none in the file: the rank, as diffusers and kohya mean it',
  peft: "none in the file: PEFT's default",
  unknown: 'unknown: adapter_config.json, which says it, is not beside the file',
};

/** So many of a list are printed. */
const MAX_LISTED = 6;

function few(texts: readonly string[]): string {
  const listed = texts.slice(0, MAX_LISTED).map(printable).join(', ');
  return texts.length > MAX_LISTED ? `${listed} and ${texts.length - MAX_LISTED} more` : listed;
}

function lineOf({ component, names, layers, kinds, ranks, alphas, whole, fits }: AdapterComponent): string[] {
  const kindsText = Object.entries(kinds).map(([kind, count]) => (count === layers ? kind : `${kind} on ${count}`));
  const rankText = ranks.map(({ rank, layers: n }) => (n === layers ? `${rank}` : `${rank} on ${n}`));
  const alphaText = alphas.map(({ alpha, scale, layers: n }) => {
    const text = `${Number(alpha.toPrecision(6))} (scale ${Number(scale.toPrecision(6))})`;
    return n === layers ? text : `${text} on ${n}`;
  });
  return [
    `${component ?? 'one model'}: ${kindsText.join(', ')}, ${layers} layers`,
    ...(names.length > 0 ? [`  adapters: ${few(names)}`] : []),
    ...(ranks.length > 0 ? [`  rank: ${few(rankText)}`] : []),
    ...(alphas.length > 0 ? [`  alpha: ${few(alphaText)}`] : []),
    ...(whole > 0 ? [`  trained whole: ${whole} layers`] : []),
    `  fits: ${fits ?? 'its sizes do not say'}`,
  ];
}

/** What an adapter's file holds: its format, ranks and alphas, and what it fits; undefined where it holds none. `config` is PEFT's adapter_config.json.
 * @throws when the configuration is not one that is read, or the file cannot be read */
export async function describeAdapter(
  checkpoint: Checkpoint,
  { config: json }: { config?: unknown } = {},
): Promise<AdapterDescription | undefined> {
  const components: AdapterComponent[] = [];
  const sources = new Set<AlphaSource | 'unknown'>();
  let [others, format]: [number, AdapterFormat | undefined] = [0, undefined];
  for (const part of partsOf(checkpoint)) {
    const sorted = layersOf(part);
    others += sorted.others;
    if (!sorted.layers.some((layer) => kindOf(layer) !== undefined)) continue;
    format = part.component === undefined ? formatOf(part.checkpoint.keys(), json) : 'rass';
    for (const component of new Set(sorted.layers.map((layer) => layer.component))) {
      const own = sorted.layers.filter((layer) => layer.component === component);
      const config =
        format === 'rass' ? undefined : configOf(checkpoint, { config: json, component: component ?? 'unet' });
      const rule = ruleFor(part.checkpoint, format, config);
      components.push(
        await describeComponent(own, { checkpoint: part.checkpoint, rule, rsLora: config?.rsLora ?? false }),
      );
      const needsRule = own.some(({ keys }) => RANKED.some((each) => keys.has(each)) && !keys.has('alpha'));
      sources.add(needsRule ? (rule?.source ?? 'unknown') : 'file');
    }
  }
  if (format === undefined) return undefined;
  const alpha: AdapterDescription['alpha'] = [...sources].find((source) => source !== 'file') ?? 'file';
  const description = { file: checkpoint.name, format, alpha, components, others };
  return { ...description, toString: () => print(description) };
}

const print = ({ format, alpha, components, others }: Omit<AdapterDescription, 'toString'>): string =>
  [
    `an adapter, ${format === 'rass' ? "of RASS's and OSEDiff's layout" : `in the format of ${format}`}; alpha ${SOURCES[alpha]}`,
    ...components.flatMap(lineOf),
    ...(others > 0 ? [`${others} other tensors`] : []),
  ].join('\n');
