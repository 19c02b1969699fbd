import type { RenameRule, RenameStep, Renaming } from '../rename/rules.ts';
import { largestIndex } from './largest-index.ts';

/** Where the prefix of the UNet ends in a single-file checkpoint. */
export const UNET_PREFIX = 'model.diffusion_model.';

/** The shape of a UNet as the original code numbers its blocks. */
export interface UnetLevels {
  /** Resolutions: 4 in Stable Diffusion. */
  readonly levels: number;
  /** Residual blocks of a level on the way down; the way up has one more. 2 in Stable Diffusion. */
  readonly layersPerBlock: number;
  /** Whether each level has attention, from the finest on. */
  readonly attention: readonly boolean[];
}

// What lies outside the numbered blocks.
const ENDS: RenameStep = [
  { prefix: 'time_embed.0.', to: 'time_embedding.linear_1.' },
  { prefix: 'time_embed.2.', to: 'time_embedding.linear_2.' },
  { prefix: 'label_emb.0.0.', to: 'class_embedding.linear_1.' },
  { prefix: 'label_emb.0.2.', to: 'class_embedding.linear_2.' },
  { exact: 'label_emb.weight', to: 'class_embedding.weight' },
  { prefix: 'input_blocks.0.0.', to: 'conv_in.' },
  { prefix: 'out.0.', to: 'conv_norm_out.' },
  { prefix: 'out.2.', to: 'conv_out.' },
  { prefix: 'middle_block.0.', to: 'mid_block.resnets.0.' },
  { prefix: 'middle_block.1.', to: 'mid_block.attentions.0.' },
  { prefix: 'middle_block.2.', to: 'mid_block.resnets.1.' },
];

const RESNET_PARTS = [
  ['in_layers.0', 'norm1'],
  ['in_layers.2', 'conv1'],
  ['out_layers.0', 'norm2'],
  ['out_layers.3', 'conv2'],
  ['emb_layers.1', 'time_emb_proj'],
  ['skip_connection', 'conv_shortcut'],
] as const;

const RESNETS: RenameStep = RESNET_PARTS.map(([original, ours]) => ({
  template: `{block*}.resnets.{index}.${original}.{leaf}`,
  to: `{block*}.resnets.{index}.${ours}.{leaf}`,
}));

/** Down: a level is `layersPerBlock` blocks and, but for the last level, a downsampling block. */
function downBlocks({ levels, layersPerBlock }: UnetLevels): RenameRule[] {
  const rules: RenameRule[] = [];
  for (let level = 0; level < levels; level++) {
    const first = 1 + level * (layersPerBlock + 1);
    for (let layer = 0; layer < layersPerBlock; layer++) {
      const block = `input_blocks.${first + layer}`;
      rules.push({ prefix: `${block}.0.`, to: `down_blocks.${level}.resnets.${layer}.` });
      rules.push({ prefix: `${block}.1.`, to: `down_blocks.${level}.attentions.${layer}.` });
    }
    const sampler = `input_blocks.${first + layersPerBlock}.0.op.`;
    rules.push({ prefix: sampler, to: `down_blocks.${level}.downsamplers.0.conv.` });
  }
  return rules;
}

/** Up, from the coarsest level: the last block of a level also upsamples, as its part 1 or, behind attention, 2. */
function upBlocks({ levels, layersPerBlock, attention }: UnetLevels): RenameRule[] {
  const rules: RenameRule[] = [];
  for (let up = 0; up < levels; up++) {
    const hasAttention = attention[levels - 1 - up];
    for (let layer = 0; layer <= layersPerBlock; layer++) {
      const block = `output_blocks.${up * (layersPerBlock + 1) + layer}`;
      rules.push({ prefix: `${block}.0.`, to: `up_blocks.${up}.resnets.${layer}.` });
      if (layer === layersPerBlock) {
        rules.push({ prefix: `${block}.${hasAttention ? 2 : 1}.conv.`, to: `up_blocks.${up}.upsamplers.0.conv.` });
      }
      if (hasAttention) rules.push({ prefix: `${block}.1.`, to: `up_blocks.${up}.attentions.${layer}.` });
    }
  }
  return rules;
}

/** From the original UNet's names, without their prefix, to diffusers'; it can be inverted.
 * @source diffusers `convert_ldm_unet_checkpoint` */
export function unetRenaming(levels: UnetLevels): Renaming {
  return [[...ENDS, ...downBlocks(levels), ...upBlocks(levels)], RESNETS];
}

/** Reads off the keys, without their prefix, how many levels a UNet has and where it attends. */
export function unetLevels(keys: readonly string[]): UnetLevels {
  const has = new Set(keys);
  const count = Math.max(0, largestIndex(keys, /^input_blocks\.(\d+)\./));
  const samplers = new Set(keys.map((key) => /^input_blocks\.(\d+)\.0\.op\./.exec(key)?.[1]).filter(Boolean));
  const levels = samplers.size + 1;
  const layersPerBlock = Math.max(1, Math.round((count - samplers.size) / levels));
  const attention = Array.from({ length: levels }, (_, level) =>
    has.has(`input_blocks.${1 + level * (layersPerBlock + 1)}.1.norm.weight`),
  );
  return { levels, layersPerBlock, attention };
}
