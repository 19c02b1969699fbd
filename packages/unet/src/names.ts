import { checkOptions, flag, type OptionRules } from '@rass/kernels/options';
import { closest } from '@rass/nn';
import type { BlockAttentionConfig, BlockConfig, UnetConfig } from './config.ts';

export type Place = 'down' | 'mid' | 'up';

/** A feature map that unet() can hand out. */
export interface TapName {
  /** diffusers' path: `up_blocks.1.resnets.2`. */
  readonly name: string;
  readonly place: Place;
  /** How often the latents' rows and columns have been halved there; levelSize says to how many. */
  readonly level: number;
  readonly channels: number;
}

/** An attention whose probabilities unet() can hand out. */
export interface AttentionName {
  /** diffusers' path: `up_blocks.1.attentions.0.transformer_blocks.0.attn2`. */
  readonly name: string;
  readonly place: Place;
  /** Whether image tokens attend to the text, [B, N, L, T], or to each other, [B, N, L, L]. */
  readonly kind: 'cross' | 'self';
  /** How often the latents' rows and columns have been halved there; L is the product of levelSize. */
  readonly level: number;
  readonly heads: number;
}

interface PlacedBlock {
  readonly path: string;
  readonly place: Place;
  readonly level: number;
  readonly block: BlockConfig;
  /** What closes the block, and its level. */
  readonly resampler?: { readonly path: string; readonly level: number };
}

function placedBlocks(config: UnetConfig): PlacedBlock[] {
  const last = config.downBlocks.length - 1;
  const down = config.downBlocks.map((block, i): PlacedBlock => {
    const path = `down_blocks.${i}`;
    const resampler = i < last ? { path: `${path}.downsamplers.0`, level: i + 1 } : undefined;
    return { path, place: 'down', level: i, block, resampler };
  });
  const up = config.upBlocks.map((block, i): PlacedBlock => {
    const path = `up_blocks.${i}`;
    const resampler = i < last ? { path: `${path}.upsamplers.0`, level: last - i - 1 } : undefined;
    return { path, place: 'up', level: last - i, block, resampler };
  });
  const mid = config.midBlock;
  return [...down, ...(mid ? [{ path: 'mid_block', place: 'mid' as const, level: last, block: mid }] : []), ...up];
}

/** The names of a block's residual blocks and spatial transformers, in the order in which they run. */
function partNames({ path, place, block }: PlacedBlock): string[] {
  const attentions = block.attention?.layers.length ?? 0;
  return Array.from({ length: block.resnets }, (_, i) => {
    // In the middle block the transformers stand between the residual blocks.
    const attention = place === 'mid' ? i - 1 : i;
    const after = attention >= 0 && attention < attentions ? [`${path}.attentions.${attention}`] : [];
    return place === 'mid' ? [...after, `${path}.resnets.${i}`] : [`${path}.resnets.${i}`, ...after];
  }).flat();
}

/** Every feature map that unet() can hand out, in the order in which they are made. */
export function tapNames(config: UnetConfig): TapName[] {
  const input: TapName = { name: 'conv_in', place: 'down', level: 0, channels: config.downBlocks[0].channels };
  const ofBlocks = placedBlocks(config).flatMap((placed): TapName[] => {
    const { path, place, level, block, resampler } = placed;
    const { channels } = block;
    return [
      ...partNames(placed).map((name) => ({ name, place, level, channels })),
      ...(resampler ? [{ name: resampler.path, place, level: resampler.level, channels }] : []),
      { name: path, place, level: resampler?.level ?? level, channels },
    ];
  });
  return [input, ...ofBlocks];
}

export interface AttentionChoice {
  /** Attentions to the text; default true. */
  cross?: boolean;
  /** Attentions within the image, whose probabilities are large; default false. */
  self?: boolean;
}

function blockAttentions({ path, place, level }: PlacedBlock, c: BlockAttentionConfig): AttentionName[] {
  return c.layers.flatMap((depth, i) =>
    Array.from({ length: depth }, (_, j) => {
      const stem = `${path}.attentions.${i}.transformer_blocks.${j}`;
      const { heads } = c;
      const first: AttentionName['kind'] = c.onlyCross ? 'cross' : 'self';
      return [
        { name: `${stem}.attn1`, place, kind: first, level, heads },
        { name: `${stem}.attn2`, place, kind: 'cross' as const, level, heads },
      ];
    }).flat(),
  );
}

const ATTENTION_CHOICE_RULES: OptionRules<AttentionChoice> = { cross: flag, self: flag };

/** Every attention of the chosen kinds, in the order in which they run. */
export function attentionNames(config: UnetConfig, options: AttentionChoice = {}): AttentionName[] {
  checkOptions('attentionNames', options, ATTENTION_CHOICE_RULES);
  const { cross = true, self = false } = options;
  return placedBlocks(config)
    .flatMap((placed) => (placed.block.attention ? blockAttentions(placed, placed.block.attention) : []))
    .filter(({ kind }) => (kind === 'cross' ? cross : self));
}

/** Rows and columns after `level` halvings of latents of this size. */
export function levelSize(config: UnetConfig, level: number, latents: readonly [number, number]): [number, number] {
  const p = config.downsamplePadding;
  const halved = (n: number): number => Math.floor((n + (p === 0 ? 1 : 2 * p) - 3) / 2) + 1;
  let [h, w] = latents;
  for (let i = 0; i < level; i++) [h, w] = [halved(h), halved(w)];
  return [h, w];
}

/** @throws when a name is not among those that the model has, with the closest ones */
export function checkNames(what: string, wanted: readonly string[], known: readonly string[], list: string): void {
  for (const name of wanted) {
    if (known.includes(name)) continue;
    throw new Error(
      `unet: ${what} are named as in the checkpoint; got "${name}"; closest: ${closest(name, known, 2).join(', ')}; ${list} lists all`,
    );
  }
}
