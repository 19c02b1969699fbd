import { type LoraConfig, type LoraOptions, loraConfig } from '../config.ts';
import type { AdapterState, LayerUpdate } from '../state.ts';

const rankOf = (update: LayerUpdate): number | undefined => (update.kind === 'lora' ? update.down.shape[0] : undefined);
const alphaOf = (update: LayerUpdate): number | undefined => (update.kind === 'diff' ? undefined : update.alpha);

function mostFrequent(values: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** A pattern that only this path fits. @source peft get_pattern_key, which lets anything end the path without `^` */
const exactly = (path: string): string => `^${path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`;

/** The most frequent value, and the layers that have another one by pattern. */
function withPatterns(
  layers: AdapterState['layers'],
  pick: (update: LayerUpdate) => number | undefined,
): [number, Record<string, number> | undefined] {
  const values = [...layers].flatMap(([path, update]) => {
    const value = pick(update);
    return value === undefined ? [] : [[path, value] as const];
  });
  const usual = mostFrequent(values.map(([, value]) => value)) ?? 1;
  const others = values.filter(([, value]) => value !== usual).map(([path, value]) => [exactly(path), value] as const);
  return [usual, others.length === 0 ? undefined : Object.fromEntries(others)];
}

/** A configuration that gives each layer the rank and alpha that its factors have. What `old` says of dropouts and targets stays;
 * where there is none the targets are the layers' paths, and the tensors trained whole are modules to save. */
export function configOf(
  { layers, whole, rsLora }: Pick<AdapterState, 'layers' | 'whole' | 'rsLora'>,
  old?: LoraConfig,
): LoraConfig {
  // PEFT may leave the targets out, and choose them by the kind of model.
  const isKnown = old !== undefined && `${old.targets}` !== '';
  const { init: _, ...rest } = { ...old, ...(!isKnown && { targets: [...layers.keys()] }) } as LoraOptions;
  const pathsOf = (ending: RegExp) =>
    [...whole.keys()].filter((key) => ending.test(key)).map((key) => key.replace(ending, ''));
  const saved = pathsOf(/\.weight$/);
  const biases = pathsOf(/\.bias$/).filter((path) => !saved.includes(path));
  const bias = biases.every((path) => layers.has(path)) ? 'lora_only' : 'all';
  const [rank, rankPattern] = withPatterns(layers, rankOf);
  const [alpha, alphaPattern] = withPatterns(layers, alphaOf);
  const options = {
    ...rest,
    targets: rest.targets.length > 0 ? rest.targets : saved,
    modulesToSave: old?.modulesToSave ?? (saved.length > 0 ? saved : undefined),
    ...{ rank, rankPattern, alpha, alphaPattern },
    rsLora: rsLora || undefined,
    bias: old?.bias ?? (biases.length > 0 ? bias : undefined),
  };
  // What is undefined is left out, as one who writes a configuration does.
  return loraConfig(
    Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as typeof options,
  );
}
