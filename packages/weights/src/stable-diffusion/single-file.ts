import type { Checkpoint } from '../checkpoint.ts';
import { WeightsError } from '../error.ts';
import { type Renaming, renameKeys } from '../rename/rules.ts';
import { type ViewEntry, viewCheckpoint } from '../rename/view.ts';
import { largestIndex } from './largest-index.ts';
import { CLIP_PREFIX, CLIP_RENAMING, OPEN_CLIP_PREFIX, OPEN_CLIP_RENAMING } from './text-names.ts';
import { UNET_PREFIX, unetLevels, unetRenaming } from './unet-names.ts';
import { VAE_PREFIX, vaeLevels, vaeRenaming } from './vae-names.ts';

/** A single-file checkpoint as its parts, under the names that diffusers and transformers give them. */
export interface StableDiffusionFile {
  /** Told by the width of the text that the UNet attends to; undefined for a VAE alone. */
  readonly version: 'sd1' | 'sd2' | undefined;
  readonly unet: Checkpoint | undefined;
  readonly vae: Checkpoint | undefined;
  readonly textEncoder: Checkpoint | undefined;
  /** Keys that no part takes and no model needs: schedules, counters, OpenCLIP's last block, the other set of weights. */
  readonly ignored: readonly string[];
  close(): Promise<void>;
}

/** How a single file is split. */
export interface StableDiffusionFileOptions {
  /** Takes the averaged weights of the UNet, which training checkpoints hold besides the last ones. */
  ema?: boolean;
  /** Keys that may be left over. Any other is an error. */
  allowUnused?: readonly (string | RegExp)[];
}

// What training leaves in a file, and what a text encoder has that is not a weight. A published file has some of these.
const IGNORED: readonly RegExp[] = [
  /^model_ema\./,
  /^(alphas_cumprod|alphas_cumprod_prev|betas|log_one_minus_alphas_cumprod|logvar|posterior_\w+|sqrt_\w+|scale_factor)$/,
  /^(global_step|epoch|lvlb_weights|snr|ddim_sigmas)$/,
  /^model_loss\.|^first_stage_model\.(loss|model_ema)\./,
  /\.position_ids$/,
  /^cond_stage_model\.(logit_scale|transformer\.text_projection|model\.logit_scale|model\.text_projection|model\.attn_mask)/,
];

const CONTEXT_KEY = `${UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight`;

// Other models that come as one file, by a key that only they have.
const OTHER_MODELS: readonly (readonly [key: RegExp, name: string])[] = [
  [/^conditioner\.embedders\./, 'Stable Diffusion XL'],
  [/^model\.diffusion_model\.joint_blocks\./, 'Stable Diffusion 3'],
  [/^(model\.diffusion_model\.)?double_blocks\./, 'Flux'],
  [/^control_model\./, 'a ControlNet'],
  [/^(unet|vae|text_encoder)\.(down_blocks|encoder|text_model)\./, 'a merged diffusers file; use selectPrefix'],
];

function detectVersion(checkpoint: Checkpoint): 'sd1' | 'sd2' | undefined {
  const keys = checkpoint.keys();
  const other = OTHER_MODELS.find(([pattern]) => keys.some((key) => pattern.test(key)));
  const width = checkpoint.has(CONTEXT_KEY) ? checkpoint.info(CONTEXT_KEY).shape[1] : undefined;
  if (other === undefined && width === 768) return 'sd1';
  if (other === undefined && width === 1024) return 'sd2';
  const hasUnet = keys.some((key) => key.startsWith(UNET_PREFIX));
  if (other === undefined && !hasUnet) return undefined;
  throw new WeightsError(
    'UnknownModel',
    `${checkpoint.name}: the single file is Stable Diffusion 1 or 2, whose text is 768 or 1024 wide; ` +
      `got ${other?.[1] ?? `a width of ${width ?? 'no attention'}`}`,
  );
}

/** What is asked of a checkpoint to split it. */
type Tensors = Pick<Checkpoint, 'name' | 'keys' | 'has' | 'info'>;

/** The keys below a prefix, without it, each with the whole key. */
function below(checkpoint: Tensors, prefix: string): Map<string, string> {
  const found = checkpoint.keys().filter((key) => key.startsWith(prefix));
  return new Map(found.map((key) => [key.slice(prefix.length), key]));
}

type Entries = Map<string, ViewEntry>;

function renameAll(sources: Map<string, string>, renaming: Renaming): Entries {
  const names = renameKeys(sources.keys(), renaming);
  return new Map([...names].map(([key, source]) => [key, { key: sources.get(source)! }]));
}

/** The averaged weights have the names of the last ones without their dots. */
function emaSources(checkpoint: Tensors, sources: Map<string, string>): Map<string, string> {
  return new Map(
    [...sources].map(([key, source]) => {
      const averaged = `model_ema.${source.slice('model.'.length).replaceAll('.', '')}`;
      if (checkpoint.has(averaged)) return [key, averaged];
      throw new WeightsError(
        'NoEma',
        `${checkpoint.name}: averaged weights are there when asked for; got no "${averaged}"`,
      );
    }),
  );
}

function unetEntries(checkpoint: Tensors, ema: boolean, prefix = UNET_PREFIX): Entries {
  const sources = below(checkpoint, prefix);
  const levels = unetLevels([...sources.keys()]);
  return renameAll(ema ? emaSources(checkpoint, sources) : sources, unetRenaming(levels));
}

function vaeEntries(checkpoint: Tensors): Entries {
  const prefix = checkpoint.keys().some((key) => key.startsWith(VAE_PREFIX)) ? VAE_PREFIX : '';
  const sources = new Map(
    [...below(checkpoint, prefix)].filter(([key]) => /^(encoder|decoder|quant_conv|post_quant_conv)\./.test(key)),
  );
  const entries = renameAll(sources, vaeRenaming(vaeLevels([...sources.keys()])));
  for (const [key, entry] of entries) {
    const { shape } = checkpoint.info(entry.key);
    // The original attends by 1 x 1 convolutions, diffusers by linear layers: the same numbers.
    const isConvolution = shape.length === 4 && /\.attentions\.\d+\.to_/.test(key);
    if (isConvolution) entries.set(key, { ...entry, shape: shape.slice(0, 2) });
  }
  return entries;
}

/** SD 2 uses the last block but one: its configuration has one block less than the file. */
function withoutLastBlock(sources: Map<string, string>): Map<string, string> {
  const last = `transformer.resblocks.${largestIndex([...sources.keys()], /^transformer\.resblocks\.(\d+)\./)}.`;
  const unused = (key: string) => key.startsWith(last) || /^(text_projection|logit_scale|attn_mask)$/.test(key);
  return new Map([...sources].filter(([key]) => !unused(key)));
}

function openClipEntries(checkpoint: Tensors): Entries {
  const entries = renameAll(withoutLastBlock(below(checkpoint, OPEN_CLIP_PREFIX)), OPEN_CLIP_RENAMING);
  const result: Entries = new Map();
  for (const [key, entry] of entries) {
    const match = /^(.*\.self_attn)\.in_proj\.(weight|bias)$/.exec(key);
    if (match === null) {
      result.set(key, entry);
      continue;
    }
    const size = checkpoint.info(entry.key).shape[0] / 3;
    for (const [i, name] of ['q_proj', 'k_proj', 'v_proj'].entries()) {
      result.set(`${match[1]}.${name}.${match[2]}`, { ...entry, rows: [i * size, (i + 1) * size] });
    }
  }
  return result;
}

function clipEntries(checkpoint: Tensors): Entries {
  const sources = [...below(checkpoint, CLIP_PREFIX)].filter(
    ([key]) => !IGNORED.some((p) => p.test(CLIP_PREFIX + key)),
  );
  return renameAll(new Map(sources), CLIP_RENAMING);
}

function textEntries(checkpoint: Tensors): Entries {
  const isOpenClip = checkpoint.keys().some((key) => key.startsWith(OPEN_CLIP_PREFIX));
  return isOpenClip ? openClipEntries(checkpoint) : clipEntries(checkpoint);
}

/** What is left over, all of which must be known or allowed. */
function leftOver(checkpoint: Checkpoint, used: Set<string>, allowed: readonly (string | RegExp)[]): string[] {
  const left = checkpoint.keys().filter((key) => !used.has(key));
  const lastBlock = new RegExp(`^${OPEN_CLIP_PREFIX.replaceAll('.', '\\.')}transformer\\.resblocks\\.`);
  const isKnown = (key: string): boolean =>
    [...IGNORED, lastBlock, ...allowed].some((one) => (typeof one === 'string' ? one === key : key.search(one) >= 0)) ||
    key.startsWith(UNET_PREFIX);
  const unknown = left.filter((key) => !isKnown(key));
  if (unknown.length === 0) return left;
  throw new WeightsError(
    'UnusedKeys',
    `${checkpoint.name}: every tensor of a single file belongs to a part; got ${unknown.length} that do not: ` +
      `${unknown.slice(0, 5).join(', ')}; name them in allowUnused to leave them out`,
  );
}

/** Splits a single-file Stable Diffusion 1 or 2 checkpoint, as CompVis and Stability AI publish them, or a VAE alone, into
 * its parts under diffusers' and transformers' names: tensors stay where they are, fused projections are read by rows.
 * @throws WeightsError `UnknownModel`, `UnusedKeys`, `NoEma`
 * @source diffusers `single_file_utils`; golden weights/names-sd1.tsv, names-sd2.tsv */
export function splitStableDiffusion(
  checkpoint: Checkpoint,
  { ema = false, allowUnused = [] }: StableDiffusionFileOptions = {},
): StableDiffusionFile {
  const version = detectVersion(checkpoint);
  const parts = {
    unet: version === undefined ? new Map<string, ViewEntry>() : unetEntries(checkpoint, ema),
    vae: vaeEntries(checkpoint),
    textEncoder: textEntries(checkpoint),
  };
  const used = new Set(Object.values(parts).flatMap((entries) => [...entries.values()].map(({ key }) => key)));
  if (used.size === 0) {
    const some = checkpoint.keys().slice(0, 3).join(', ');
    throw new WeightsError(
      'UnknownModel',
      `${checkpoint.name}: a single file has model.diffusion_model, first_stage_model or cond_stage_model; got ${some}`,
    );
  }
  const part = (entries: Entries) => (entries.size === 0 ? undefined : viewCheckpoint(checkpoint, entries));
  return {
    version,
    unet: part(parts.unet),
    vae: part(parts.vae),
    textEncoder: part(parts.textEncoder),
    ignored: leftOver(checkpoint, used, allowUnused),
    close: () => checkpoint.close(),
  };
}

/** Where each tensor of the parts of a single file lies, by the part's name in a pipeline and the tensor's name in diffusers and transformers: a
 * tensor of the file, some rows of one, or one in another shape. A file may be a part alone, and a UNet may be without its prefix. Empty
 * for a file that is spelled otherwise. */
export function stableDiffusionTensors(checkpoint: Tensors): Map<string, Map<string, ViewEntry>> {
  const keys = checkpoint.keys();
  const has = (prefix: string): boolean => keys.some((key) => key.startsWith(prefix));
  const unet = [UNET_PREFIX, ''].find((prefix) => has(`${prefix}input_blocks.`));
  const parts: [string, Entries][] = [
    ['unet', unet === undefined ? new Map() : unetEntries(checkpoint, false, unet)],
    ['text_encoder', textEntries(checkpoint)],
    ['vae', has(VAE_PREFIX) ? vaeEntries(checkpoint) : new Map()],
  ];
  return new Map(parts.filter(([, entries]) => entries.size > 0));
}
