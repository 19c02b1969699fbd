import { type Checkpoint, type TorchCheckpoint, viewCheckpoint } from '@rass/weights';
import { type LoraConfig, loraConfig } from '../config.ts';
import type { AdapterState } from '../state.ts';

/** The pickle of OSEDiff and RASS: a dict with the ranks, lists of layers, and state dicts.
 * @source OSEDiff osediff.py save_model; RASS restoration_adaptation/ras.py load_ckpt_from_state_dict */
type RassFile = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** In which dict a part of the pipeline lies. */
const STATE_DICTS: Readonly<Record<string, string>> = { unet: 'unet', text_encoder: 'text', vae: 'vae' };

/** An adapter of such a file as PEFT would configure it. */
function configFor(file: RassFile, part: string, name: string, state: AdapterState): LoraConfig {
  const place = /encoder|decoder|others/.exec(name)?.[0] ?? '';
  const listed = file[`${part}_lora_${place}_modules`];
  const targets = Array.isArray(listed) && listed.length > 0 ? (listed as string[]) : [...state.layers.keys()];
  const rank = Number(file[`rank_${part}`]);
  return loraConfig({ rank, targets, init: 'gaussian' });
}

export interface RassLayout {
  /** The part's state dict. */
  readonly view: Checkpoint;
  /** Configurations, and whole tensors that are no adapter's with one that is on the way down, or the first. */
  finish(adapters: Readonly<Record<string, AdapterState>>): Record<string, AdapterState>;
}

const isRassFile = (file: unknown): file is RassFile => isObject(file) && ('rank_unet' in file || 'rank_vae' in file);

/** The parts of the pipeline that such a file has state dicts of; undefined for another file. */
export function rassComponents(checkpoint: Checkpoint): [component: string, keys: number][] | undefined {
  const file = (checkpoint as Partial<TorchCheckpoint>).value;
  if (!isRassFile(file)) return undefined;
  return Object.entries(STATE_DICTS).flatMap(([component, part]): [string, number][] => {
    const dict = file[`state_dict_${part}`];
    return isObject(dict) ? [[component, Object.keys(dict).length]] : [];
  });
}

/** Recognises such a file. @throws when it has no state dict of the part that is asked for */
export function rassLayout(checkpoint: Checkpoint, component = 'unet'): RassLayout | undefined {
  const file = (checkpoint as Partial<TorchCheckpoint>).value;
  if (!isRassFile(file)) return undefined;
  const part = STATE_DICTS[component] ?? component;
  const dict = `state_dict_${part}`;
  if (!(dict in file)) {
    const has = Object.keys(file).filter((name) => name.startsWith('state_dict_'));
    throw new Error(
      `lora: ${checkpoint.name}: it has an adapter of the ${component}; got ${has.join(', ')}; choose another component`,
    );
  }
  // The reader takes the only dict of tensors for the root; of two it names each.
  const { root } = checkpoint as TorchCheckpoint;
  const prefix = root === dict ? '' : `${dict}.`;
  const keys = checkpoint.keys().filter((key) => key.startsWith(prefix));
  const entries = keys.map((key) => [key.slice(prefix.length), { key }] as const);
  const view = viewCheckpoint(checkpoint, new Map(entries));
  const finish = (adapters: Readonly<Record<string, AdapterState>>): Record<string, AdapterState> => {
    const { default: unnamed, ...named } = adapters;
    const names = Object.keys(named);
    const holder = names.find((name) => name.includes('encoder')) ?? names[0];
    return Object.fromEntries(
      names.map((name) => {
        const state = named[name];
        // Whole tensors of layers without a product are nobody's by their keys.
        const whole = new Map([...state.whole, ...(name === holder ? (unnamed?.whole ?? []) : [])]);
        const modulesToSave = [...new Set([...whole.keys()].map((key) => key.replace(/\.(weight|bias)$/, '')))];
        const config = configFor(file, part, name, state);
        return [name, { ...state, config: modulesToSave.length > 0 ? { ...config, modulesToSave } : config, whole }];
      }),
    );
  };
  return { view, finish };
}
