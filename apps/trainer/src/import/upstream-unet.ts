import { type Checkpoint, type ViewEntry, viewCheckpoint } from '@rass/weights';

/** What of Stable Diffusion lies in a checkpoint of detectron2's trainer, under the names that the parts have in files of their own. */
export interface UpstreamParts {
  /** With restoration's adapters merged; absent where there is nothing but what was trained. */
  readonly unet: Checkpoint | undefined;
  /** Of the frozen parts what is there. */
  readonly vae: Checkpoint | undefined;
  readonly textEncoder: Checkpoint | undefined;
}

/** A key of the Seg LoRA, behind whatever holds the UNet. */
const OF_UNET = /^(.*)conv_in\.lora_A\.default_encoder_s2\.weight$/;
/** Without the adapters' wrapper. */
const UNET_STEP = /unet\.(base_model\.model\.)?$/;
const LEAF = /\.(weight|bias)$/;

/** The keys below a prefix that other keys are asked for by; PEFT keeps an adapted layer's own tensors one step further down. */
function below(checkpoint: Checkpoint, prefix: string, wanted: readonly string[]): Map<string, ViewEntry> {
  const entries = new Map<string, ViewEntry>();
  for (const key of wanted) {
    const source = [key.replace(LEAF, '.base_layer.$1'), key]
      .map((each) => `${prefix}${each}`)
      .find((each) => checkpoint.has(each));
    if (source !== undefined) entries.set(key, { key: source });
  }
  return entries;
}

/** What an import compares with. */
interface BaseKeys {
  readonly unet: readonly string[];
  readonly vae: readonly string[];
  readonly textEncoder: readonly string[];
}

/** Finds the parts of Stable Diffusion in RASS's `model_final.pth` by the keys of a base. @throws when there is only a part of the UNet
 * @source github.com/Ka1Guan/RASS; detectron2 checkpoint */
export function upstreamParts(checkpoint: Checkpoint, keys: BaseKeys): UpstreamParts {
  const prefixes = checkpoint.keys().flatMap((key) => OF_UNET.exec(key)?.[1] ?? []);
  const [prefix] = prefixes;
  if (prefix === undefined || prefixes.length > 1) {
    const got = prefixes.length === 0 ? 'none' : `${prefixes.length}`;
    throw new Error(
      `${checkpoint.name}: it has the Seg LoRA of one UNet; got ${got}; give the model_final.pth of RASS`,
    );
  }
  const part = (name: string, wanted: readonly string[]): Checkpoint | undefined => {
    const entries = UNET_STEP.test(prefix) ? below(checkpoint, prefix.replace(UNET_STEP, name), wanted) : new Map();
    return entries.size === 0 ? undefined : viewCheckpoint(checkpoint, entries);
  };
  const entries = below(checkpoint, prefix, keys.unet);
  const missing = keys.unet.filter((key) => !entries.has(key));
  const isAlone = [...entries.keys()].every((key) => key.startsWith('conv_in.'));
  if (!isAlone && missing.length > 0) {
    throw new Error(
      `${checkpoint.name}: it has all of the UNet; got nothing for ${missing.length} of ${keys.unet.length}: ${missing.slice(0, 4).join(', ')}; ` +
        'give the whole model_final.pth of RASS, and the Stable Diffusion that it was trained on',
    );
  }
  return {
    unet: isAlone ? undefined : viewCheckpoint(checkpoint, entries),
    vae: part('vae.', keys.vae),
    textEncoder: part('text_encoder.', keys.textEncoder),
  };
}
