import { anything, checkOptions, type OptionRules, positive, whole } from '@rass/kernels/options';
import { addAdapter, type FileAdapter } from '@rass/lora';
import type { ParamSource } from '@rass/nn';
import type { Unet } from '@rass/unet';

/** The UNet's weights that the Seg LoRA is on: all convolutions and projections but the last convolution.
 * @source github.com/Ka1Guan/RASS Generator_with_pretrain.unet_lora */
const SEG_TARGETS = [
  ...['to_k', 'to_q', 'to_v', 'to_out.0', 'conv', 'conv1', 'conv2', 'conv_in', 'conv_shortcut'],
  ...['proj_out', 'proj_in', 'ff.net.2', 'ff.net.0.proj'],
];
/** Restoration's output is the UNet's own, so that its last convolution is adapted too. @source OSEDiff osediff.py */
const SCR_TARGETS = [...SEG_TARGETS, 'conv_out'];

const PLACES = {
  encoder: '(down_blocks\\..*|conv_in)',
  decoder: '(up_blocks\\..*|conv_out)',
  others: '(?!down_blocks|up_blocks|conv_in|conv_out).*',
} as const;

/** The three adapters of a stage by name: of the way down, of the way up, and of the rest. */
export type AdapterPart = keyof typeof PLACES;
const PARTS = Object.keys(PLACES) as readonly AdapterPart[];

export interface StageLoraOptions {
  /** Default 4. */
  readonly rank?: number;
  /** Default 8, PEFT's: an adapter of rank 4 acts doubled. */
  readonly alpha?: number;
  readonly seed?: number;
  /** Where the adapters' tensors come from: shapes alone, to count them. */
  readonly from?: ParamSource;
}

function adaptersOf(
  targets: readonly string[],
  nameOf: (part: AdapterPart) => string,
  { rank = 4, alpha = 8 }: Pick<StageLoraOptions, 'rank' | 'alpha'>,
): FileAdapter[] {
  const endings = targets.map((name) => name.replaceAll('.', '\\.')).join('|');
  return PARTS.map((part) => ({
    name: nameOf(part),
    targets: `(?=${PLACES[part]}$)(.*\\.)?(${endings})`,
    rank,
    alpha,
  }));
}

const SIZE_RULES: OptionRules<Pick<StageLoraOptions, 'rank' | 'alpha'>> = { rank: whole(1), alpha: positive };

const STAGE_RULES: OptionRules<StageLoraOptions> = { ...SIZE_RULES, seed: anything, from: anything };

/** The SCR LoRA's three adapters. */
export const scrAdapters = (options: Pick<StageLoraOptions, 'rank' | 'alpha'> = {}): FileAdapter[] =>
  adaptersOf(SCR_TARGETS, (part) => `default_${part}`, options);

/** The Seg LoRA's three adapters. */
export const segAdapters = (options: Pick<StageLoraOptions, 'rank' | 'alpha'> = {}): FileAdapter[] =>
  adaptersOf(SEG_TARGETS, (part) => `default_${part}_s2`, options);

async function addAll(unet: Unet, adapters: readonly FileAdapter[], { seed, from }: StageLoraOptions): Promise<Unet> {
  let tree = unet;
  for (const { name, ...adapter } of adapters) {
    tree = await addAdapter(tree, { ...adapter, init: 'gaussian' }, { name, seed, from });
  }
  return tree;
}

/** The UNet with a fresh SCR LoRA: three adapters, `default_encoder`, `default_decoder` and `default_others`, on the Seg LoRA's weights and
 * the last convolution, which change nothing at first. The hyper-parameters are OSEDiff's: RASS's own are not published.
 * @source OSEDiff osediff.py, arXiv 2406.08177 */
export async function addScrLora(unet: Unet, options: StageLoraOptions = {}): Promise<Unet> {
  checkOptions('addScrLora', options, STAGE_RULES);
  const { rank, alpha } = options;
  return addAll(unet, scrAdapters({ rank, alpha }), options);
}

/** The UNet with a fresh Seg LoRA: three adapters, `default_encoder_s2`, `default_decoder_s2` and `default_others_s2`, which change nothing
 * at first. @source github.com/Ka1Guan/RASS Generator_with_pretrain.unet_lora */
export async function addSegLora(unet: Unet, options: StageLoraOptions = {}): Promise<Unet> {
  checkOptions('addSegLora', options, STAGE_RULES);
  const { rank, alpha } = options;
  return addAll(unet, segAdapters({ rank, alpha }), options);
}

const IN_ADAPTER = /\.lora_[AB]\./;
const CONV_IN = /^conv_in\.(weight|bias)$/;

/** Whether a stage trains this tensor of the UNet: of the adapters all, of the UNet itself its first convolution. Both stages do so. */
export const isTrainedInStage = (unetKey: string): boolean => IN_ADAPTER.test(unetKey) || CONV_IN.test(unetKey);
