import { biasDelta, updatedWeight } from '../algebra/delta.ts';
import type { AdapterState, HostTensor, LayerUpdate } from '../state.ts';

const partsOf = (path: string): string[] => path.split('.').map((_, i, steps) => steps.slice(0, i + 1).join('.'));

/** Whether PEFT's modules_to_save mean a layer: by the end of its path, or of the path of a part of the model that it is in.
 * @source peft _set_trainable */
export function isWrapped(path: string, names: readonly string[]): boolean {
  return partsOf(path).some((part) => names.some((name) => part.endsWith(name)));
}

/** Whether modules_to_save keep a layer from having a product: PEFT's rule for it is another one. @source peft check_target_module_exists */
function isExcluded(path: string, names: readonly string[]): boolean {
  return names.some((name) =>
    new RegExp(`^(|.*\\.)${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}($|\\..*)`).test(path),
  );
}

/** The whole paths of what is saved: those of layers, or of the parts of the model that the configuration names with all of theirs. An end
 * of a path would mean more to PEFT than here. */
function savedModules(paths: readonly string[], names: readonly string[]): string[] {
  const named = (path: string): string =>
    partsOf(path).find((part) => names.some((name) => part === name || part.endsWith(`.${name}`))) ?? path;
  return [...new Set(paths.map(named))];
}

/** The weight and the bias of a layer that is trained whole and has a product on top, in one. */
function foldedWhole(path: string, { whole, rsLora }: AdapterState, update: LayerUpdate): [string, HostTensor][] {
  const weight = whole.get(`${path}.weight`) as HostTensor;
  const bias = whole.get(`${path}.bias`);
  const added = biasDelta(update, rsLora);
  if (added !== undefined && bias === undefined)
    throw new Error(
      `lora: ${path}: a bias of a product goes into the bias of a layer trained whole; got none; write it without modulesToSave`,
    );
  const sum = bias && added && { ...bias, data: bias.data.map((value, i) => value + added.data[i]) };
  return [
    [`${path}.weight`, { shape: weight.shape, data: updatedWeight(update, weight, rsLora) }],
    ...(sum ? [[`${path}.bias`, sum] as [string, HostTensor]] : []),
  ];
}

/** The paths of layers that are trained whole. */
export const wholePaths = ({ whole }: Pick<AdapterState, 'whole'>): string[] =>
  [...whole.keys()].filter((key) => key.endsWith('.weight')).map((key) => key.slice(0, -'.weight'.length));

/** An adapter as PEFT can have it, and what its modules_to_save are. PEFT gives a layer of modules_to_save no product: what is on top of a layer
 * trained whole, as on RASS's conv_in, goes into its weight, and gives the same.
 * @throws when PEFT would take another layer for one that is trained whole, or nothing with a product is left */
export function peftLayers(state: AdapterState): { state: AdapterState; saved: string[] } {
  const paths = wholePaths(state);
  const saved = savedModules(paths, state.config?.modulesToSave ?? []);
  if (saved.length === 0) return { state, saved };
  const isWhole = new Set(paths);
  const layers = new Map(state.layers);
  const whole = new Map(state.whole);
  for (const [path, update] of state.layers) {
    if (isWhole.has(path)) {
      for (const [key, value] of foldedWhole(path, state, update)) whole.set(key, value);
      layers.delete(path);
    } else if (isWrapped(path, saved) || isExcluded(path, saved)) {
      throw new Error(
        `lora: peft takes modules_to_save by the ends and the parts of paths; got ${saved.join(', ')}, which mean ${path} too, a layer with a product alone; train that whole too, or leave one of them out`,
      );
    }
  }
  if (layers.size === 0)
    throw new Error(
      `lora: peft files have a layer with a product; got layers trained whole alone, ${saved.join(', ')}; give one, or write a checkpoint`,
    );
  return { state: { ...state, layers, whole }, saved };
}
