import { closest } from '@rass/nn';
import { invertRenaming, renameKeys, type UnetLevels, unetRenaming } from '@rass/weights';

/** Where kohya's files say that a layer is, by the start of its name. */
const KOHYA_COMPONENTS: readonly (readonly [prefix: string, component: string])[] = [
  ['lora_unet_', 'unet'],
  ['lora_te1_', 'text_encoder'],
  ['lora_te2_', 'text_encoder_2'],
  ['lora_te_', 'text_encoder'],
  ['lycoris_', 'unet'],
];

/** What stands before the path in diffusers' files. */
const DOTTED_COMPONENTS = ['unet', 'text_encoder', 'text_encoder_2', 'vae', 'transformer'];

const PEFT_PREFIX = 'base_model.model.';
/** ComfyUI's own LoRA names the UNet's layers as the first Stable Diffusion code did, with their dots. */
const ORIGINAL_PREFIX = 'diffusion_model.';

export interface Spelled {
  /** The part of the pipeline; undefined where the file is of one model alone. */
  readonly component?: string;
  readonly name: string;
  /** Whether dots have become underscores, so that only the model's own paths tell which is which. */
  readonly underscored: boolean;
}

const underscored = (path: string): string => path.replaceAll('.', '_');

/** Takes the component off a layer's name. */
export function spelledModule(module: string): Spelled {
  const kohya = KOHYA_COMPONENTS.find(([prefix]) => module.startsWith(prefix));
  if (kohya !== undefined) return { component: kohya[1], name: module.slice(kohya[0].length), underscored: true };
  if (module.startsWith(ORIGINAL_PREFIX))
    return { component: 'unet', name: underscored(module.slice(ORIGINAL_PREFIX.length)), underscored: true };
  const bare = module.startsWith(PEFT_PREFIX) ? module.slice(PEFT_PREFIX.length) : module;
  const component = DOTTED_COMPONENTS.find((each) => bare.startsWith(`${each}.`));
  if (component === undefined) return { name: bare, underscored: false };
  return { component, name: bare.slice(component.length + 1), underscored: false };
}

/** The shape of a UNet as its paths tell it. */
function levelsOf(paths: readonly string[]): UnetLevels {
  const has = (start: string): boolean => paths.some((path) => path.startsWith(start));
  const count = (test: (i: number) => string): number => {
    let i = 0;
    while (has(test(i))) i++;
    return i;
  };
  const levels = count((i) => `down_blocks.${i}.`);
  return {
    levels,
    layersPerBlock: Math.max(
      1,
      count((i) => `down_blocks.0.resnets.${i}.`),
    ),
    attention: Array.from({ length: levels }, (_, level) => has(`down_blocks.${level}.attentions.`)),
  };
}

/** The names that the original code gives a UNet's layers: from each of them to the path. */
export function originalNames(paths: readonly string[]): Map<string, string> {
  if (!paths.some((path) => path.startsWith('down_blocks.'))) return new Map();
  const keys = paths.map((path) => `${path}.weight`);
  const back = renameKeys(keys, invertRenaming(unetRenaming(levelsOf(paths))));
  const bare = (key: string): string => key.replace(/\.weight$/, '');
  return new Map([...back].map(([original, key]) => [bare(original), bare(key)]));
}

export interface PathTable {
  /** The path of a layer by its name, which may have underscores for its dots; undefined where the model has none such. */
  find(name: string, isUnderscored: boolean): string | undefined;
  closest(name: string): string[];
}

const TEXT_MODEL = 'text_model.';
const IN_TEXT_MODEL = /^(text_model\.)?(embeddings|encoder\.layers|final_layer_norm)\b/;

/** The other spelling of a text encoder's layer: transformers 5 leaves `text_model.` out, older ones and kohya's files have it. */
function otherSpelling(path: string): string | undefined {
  if (!IN_TEXT_MODEL.test(path)) return undefined;
  return path.startsWith(TEXT_MODEL) ? path.slice(TEXT_MODEL.length) : `${TEXT_MODEL}${path}`;
}

/** Finds layers by any of their spellings among a model's own paths. */
export function pathTable(paths: readonly string[]): PathTable {
  const known = new Set(paths);
  const dotted = new Map<string, string>();
  const byName = new Map([...originalNames(paths)].map(([original, path]) => [underscored(original), path]));
  for (const path of paths) {
    const other = otherSpelling(path);
    for (const name of other === undefined || known.has(other) ? [path] : [path, other]) {
      dotted.set(name, path);
      byName.set(underscored(name), path);
    }
  }
  return {
    find: (name, isUnderscored) => (isUnderscored ? byName : dotted).get(name),
    closest: (name) => closest(name, [...(known.has(name) ? [] : known)], 2),
  };
}
