import type { RenameRule, RenameStep, Renaming } from '../rename/rules.ts';
import { largestIndex } from './largest-index.ts';

/** Where the prefix of the VAE ends in a single-file checkpoint; a file of a VAE alone has none. */
export const VAE_PREFIX = 'first_stage_model.';

const ATTENTION_PARTS = [
  ['norm', 'group_norm'],
  ['q', 'to_q'],
  ['k', 'to_k'],
  ['v', 'to_v'],
  ['proj_out', 'to_out.0'],
] as const;

function sideRules(side: 'encoder' | 'decoder', levels: number): RenameRule[] {
  const rules: RenameRule[] = [
    { prefix: `${side}.mid.block_1.`, to: `${side}.mid_block.resnets.0.` },
    { prefix: `${side}.mid.block_2.`, to: `${side}.mid_block.resnets.1.` },
    { prefix: `${side}.mid.attn_1.`, to: `${side}.mid_block.attentions.0.` },
    { prefix: `${side}.norm_out.`, to: `${side}.conv_norm_out.` },
  ];
  for (let level = 0; level < levels; level++) {
    // The original counts the decoder's levels from the finest; diffusers counts them in the order of use.
    const ours = side === 'encoder' ? `encoder.down_blocks.${level}` : `decoder.up_blocks.${levels - 1 - level}`;
    const theirs = side === 'encoder' ? `encoder.down.${level}` : `decoder.up.${level}`;
    const sampler = side === 'encoder' ? 'downsample' : 'upsample';
    rules.push({ prefix: `${theirs}.block.`, to: `${ours}.resnets.` });
    rules.push({ prefix: `${theirs}.${sampler}.`, to: `${ours}.${sampler}rs.0.` });
  }
  return rules;
}

const PARTS: RenameStep = [
  { template: '{block*}.nin_shortcut.{leaf}', to: '{block*}.conv_shortcut.{leaf}' },
  ...ATTENTION_PARTS.map(([original, ours]) => ({
    template: `{block*}.attentions.{index}.${original}.{leaf}`,
    to: `{block*}.attentions.{index}.${ours}.{leaf}`,
  })),
];

/** From the original VAE's names, without their prefix, to diffusers'; it can be inverted.
 * @source diffusers `convert_ldm_vae_checkpoint` */
export function vaeRenaming(levels: number): Renaming {
  return [[...sideRules('encoder', levels), ...sideRules('decoder', levels)], PARTS];
}

/** Reads off the keys, without their prefix, how many levels a VAE has. */
export function vaeLevels(keys: readonly string[]): number {
  return Math.max(0, largestIndex(keys, /^encoder\.down\.(\d+)\./)) + 1;
}

/** From the names that diffusers gave a VAE's attention before 0.17 to today's.
 * @source diffusers `AutoencoderKL._convert_deprecated_attention_blocks` */
export const OLD_VAE_ATTENTION: Renaming = [
  (
    [
      ['query', 'to_q'],
      ['key', 'to_k'],
      ['value', 'to_v'],
      ['proj_attn', 'to_out.0'],
    ] as const
  ).map(([old, today]) => ({
    template: `{block*}.attentions.{index}.${old}.{leaf}`,
    to: `{block*}.attentions.{index}.${today}.{leaf}`,
  })),
];
