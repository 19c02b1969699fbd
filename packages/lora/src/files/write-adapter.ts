import { type EncodableDtype, fromFloat32, type TensorToWrite } from '@rass/weights';
import { configOf } from '../algebra/layer-config.ts';
import type { LoraConfig } from '../config.ts';
import type { AdapterState, HostTensor, LoraUpdate } from '../state.ts';
import { plainAlpha } from './layer.ts';
import { originalNames } from './paths.ts';
import { toPeftConfig } from './peft-config.ts';
import { peftLayers } from './peft-layers.ts';

export interface WriteAdapterOptions {
  /** `peft` is two files, weights and a configuration; the others are one. */
  format: 'peft' | 'diffusers' | 'kohya';
  /** The part of the pipeline, which diffusers' and kohya's names begin with; default `unet`. */
  component?: string;
  /** Element type; default F32. */
  dtype?: EncodableDtype;
  /** kohya: `diffusers` (default) names layers by their paths, `original` as the first Stable Diffusion code did. */
  names?: 'diffusers' | 'original';
  /** For original names: the paths of all of the model's layers, which say how many blocks it has. */
  paths?: readonly string[];
}

const FORMATS: readonly WriteAdapterOptions['format'][] = ['peft', 'diffusers', 'kohya'];

/** What is to be written. */
export interface AdapterFile {
  readonly tensors: Readonly<Record<string, TensorToWrite>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** PEFT's adapter_config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
}

function refuse(what: string, got: string, remedy: string): never {
  throw new Error(`lora: ${what}; got ${got}; ${remedy}`);
}

/** The plain LoRA layers, which are all that these formats share. */
function plainLayers(state: AdapterState, format: string): [path: string, update: LoraUpdate][] {
  return [...state.layers].map(([path, update]) => {
    const isKohya = format === 'kohya';
    const isPlain = update.kind === 'lora' && update.mid === undefined && update.magnitudeAxis === undefined;
    if (update.kind === 'lora' && (isPlain || isKohya)) return [path, update];
    const what = update.kind !== 'lora' ? update.kind : update.mid ? 'a Tucker core' : 'DoRA by inputs';
    return refuse(`${format} files hold plain LoRA layers`, `${what} at ${path}`, 'convertToLora first');
  });
}

/** A configuration that says of each layer what its update is. */
function configFor(state: AdapterState): LoraConfig {
  const hasLengths = [...state.layers.values()].some(
    (update) => update.kind === 'lora' && update.magnitude !== undefined,
  );
  const { init } = state.config ?? {};
  return { ...configOf(state, state.config), ...(init && { init }), ...(hasLengths && { dora: true }) };
}

type Tensors = Record<string, HostTensor>;

const isConvolution = ({ down }: LoraUpdate): boolean => down.shape.length === 4;

/** PEFT's names within a model. @source peft get_peft_model_state_dict */
function peftTensors(path: string, update: LoraUpdate): Tensors {
  const { down, up, upBias, magnitude, embedding } = update;
  if (embedding) {
    return {
      [`${path}.lora_embedding_A`]: down,
      [`${path}.lora_embedding_B`]: up,
      ...(magnitude && { [`${path}.lora_magnitude_vector`]: magnitude }),
    };
  }
  const lengths =
    magnitude && (isConvolution(update) ? { ...magnitude, shape: [1, magnitude.data.length, 1, 1] } : magnitude);
  return {
    [`${path}.lora_A.weight`]: down,
    [`${path}.lora_B.weight`]: up,
    ...(upBias && { [`${path}.lora_B.bias`]: upBias }),
    ...(lengths && { [`${path}.lora_magnitude_vector`]: lengths }),
  };
}

/** Within a model PEFT keeps an adapted layer's own tensors one step further down; a layer of modules_to_save stays in its place. */
function wholeKey(key: string, { layers, whole }: AdapterState): string {
  const path = key.replace(/\.(weight|bias)$/, '');
  const isBias = key.endsWith('.bias') && !whole.has(`${path}.weight`) && layers.has(path);
  return isBias ? `${path}.base_layer.bias` : key;
}

function checkNoWholes(state: AdapterState, format: string): void {
  const [key] = state.whole.keys();
  if (key !== undefined)
    refuse(`${format} files have no place for layers trained whole`, key, 'write PEFT, or leave them out');
}

function kohyaName(path: string, originals: ReadonlyMap<string, string> | undefined): string {
  const original = originals?.get(path);
  if (originals !== undefined && original === undefined)
    refuse('original names are of a UNet of Stable Diffusion', path, 'write names: diffusers');
  return (original ?? path).replaceAll('.', '_');
}

const KOHYA_PREFIXES: Readonly<Record<string, string>> = {
  unet: 'lora_unet',
  text_encoder: 'lora_te',
  text_encoder_2: 'lora_te2',
};

/** @source kohya sd-scripts networks/lora.py */
function kohyaTensors(
  state: AdapterState,
  { component = 'unet', names = 'diffusers', paths }: WriteAdapterOptions,
): Tensors {
  const prefix = KOHYA_PREFIXES[component];
  if (prefix === undefined)
    refuse(`kohya's names are of ${Object.keys(KOHYA_PREFIXES).join(', ')}`, `"${component}"`, 'choose one');
  if (names === 'original' && paths === undefined)
    refuse('original names need the paths of the model', 'none', 'give paths');
  const originals =
    names === 'original' ? new Map([...originalNames(paths ?? [])].map(([name, path]) => [path, name])) : undefined;
  const tensors: Tensors = {};
  for (const [path, update] of plainLayers(state, 'kohya')) {
    if (update.embedding) refuse('kohya files have no place for embeddings', path, 'write PEFT, or leave them out');
    if (update.upBias) refuse('kohya files have no place for biases of factors', path, 'write PEFT, or leave them out');
    const at = `${prefix}_${kohyaName(path, originals)}`;
    const rank = update.down.shape[0];
    tensors[`${at}.lora_down.weight`] = update.down;
    tensors[`${at}.lora_up.weight`] = update.up;
    if (update.mid !== undefined) tensors[`${at}.lora_mid.weight`] = update.mid;
    tensors[`${at}.alpha`] = { shape: [], data: Float32Array.of(plainAlpha(update.alpha, rank, state.rsLora)) };
    if (update.magnitude !== undefined) {
      const { length } = update.magnitude.data;
      const ones = update.up.shape.slice(2).map(() => 1);
      const sides = update.magnitudeAxis === 'inputs' ? [1, length] : [length, 1];
      tensors[`${at}.dora_scale`] = { ...update.magnitude, shape: [...sides, ...ones] };
    }
  }
  return tensors;
}

function encoded(tensors: Tensors, dtype: EncodableDtype): AdapterFile['tensors'] {
  return Object.fromEntries(
    Object.entries(tensors).map(([key, { shape, data }]) => [key, { dtype, shape, data: fromFloat32(data, dtype) }]),
  );
}

const merged = (all: readonly Tensors[]): Tensors => Object.fromEntries(all.flatMap((each) => Object.entries(each)));

const under = (prefix: string, all: Tensors): Tensors =>
  Object.fromEntries(Object.entries(all).map(([key, value]) => [`${prefix}${key}`, value]));

/** PEFT's two files. */
function peftFile(given: AdapterState, dtype: EncodableDtype): AdapterFile {
  const { state, saved } = peftLayers(given);
  const layers = plainLayers(state, 'peft').map(([path, update]) => peftTensors(path, update));
  const wholes = Object.fromEntries([...state.whole].map(([key, value]) => [wholeKey(key, state), value]));
  const config = { ...toPeftConfig(configFor(state)), modules_to_save: saved.length > 0 ? saved : null };
  const tensors = encoded(under('base_model.model.', merged([...layers, wholes])), dtype);
  return { tensors, metadata: { format: 'pt' }, config };
}

/** An adapter as another program's files hold it. @throws when the format has no place for a part of it, by name */
export function encodeAdapter(state: AdapterState, options: WriteAdapterOptions): AdapterFile {
  const { format, component = 'unet', dtype = 'F32' } = options;
  if (!FORMATS.includes(format)) refuse(`adapters are written as ${FORMATS.join(', ')}`, `"${format}"`, 'choose one');
  if (format === 'kohya') {
    checkNoWholes(state, 'kohya');
    const { rank, alpha } = configFor(state);
    const metadata = {
      ss_network_module: 'networks.lora',
      ss_network_dim: `${rank}`,
      ss_network_alpha: `${plainAlpha(alpha, rank, state.rsLora)}`,
    };
    return { tensors: encoded(kohyaTensors(state, options), dtype), metadata };
  }
  if (format === 'peft') return peftFile(state, dtype);
  const layers = plainLayers(state, format);
  const config = toPeftConfig(configFor(state));
  const named = merged(layers.map(([path, update]) => peftTensors(path, update)));
  checkNoWholes(state, 'diffusers');
  const fields = Object.fromEntries(Object.entries(config).map(([name, value]) => [`${component}.${name}`, value]));
  const metadata = { format: 'pt', lora_adapter_metadata: JSON.stringify(fields, null, 2) };
  return { tensors: encoded(under(`${component}.`, named), dtype), metadata };
}
