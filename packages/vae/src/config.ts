import { closest, MOST, shown } from '@rass/nn';
import * as v from 'valibot';

/** The shape of Stable Diffusion's autoencoder, as parseVaeConfig reads it from diffusers' vae/config.json. */
export interface VaeConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Channels of each level, from the image's resolution down; each level but the last halves the sides. */
  readonly blockOutChannels: readonly number[];
  /** Residual blocks of an encoder level; a decoder level has one more. */
  readonly layersPerBlock: number;
  readonly latentChannels: number;
  readonly normGroups: number;
  readonly midAttention: boolean;
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  /** The side of the images it was trained on, in pixels; blended tiles have it by default. */
  readonly sampleSize: number;
  /** Latents times this have about unit variance, which the diffusion model expects. */
  readonly scalingFactor: number;
  /** Subtracted from the latents before they are scaled. */
  readonly shiftFactor?: number;
  /** Per channel, in place of the shift: subtracted, and divided by. */
  readonly latentsMean?: readonly number[];
  readonly latentsStd?: readonly number[];
}

const COUNT = 'is a whole number, at least 1';
const upTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));
const count = upTo(MOST.size);
const number = v.pipe(v.number('is a number'), v.finite('is a number'));
const vector = v.optional(v.nullable(v.array(number, 'is a list of numbers')), null);
const flag = v.boolean('is true or false');
const names = v.array(v.string('is a list of names'), 'is a list of names');
const counts = v.pipe(
  v.array(count, 'is a list of numbers'),
  v.minLength(1, 'has at least one number'),
  v.maxLength(MOST.levels, `has at most ${MOST.levels} numbers`),
);

/** Every field of AutoencoderKL in diffusers 0.42.1, with its defaults. @source diffusers AutoencoderKL.__init__ */
const fields = {
  in_channels: v.optional(count, 3),
  out_channels: v.optional(count, 3),
  down_block_types: v.optional(names, ['DownEncoderBlock2D']),
  up_block_types: v.optional(names, ['UpDecoderBlock2D']),
  block_out_channels: v.optional(counts, [64]),
  layers_per_block: v.optional(upTo(MOST.layers), 1),
  act_fn: v.optional(v.string('is a name'), 'silu'),
  latent_channels: v.optional(count, 4),
  norm_num_groups: v.optional(count, 32),
  sample_size: v.optional(v.union([count, counts], 'is a number of pixels, or one for rows and one for columns'), 32),
  scaling_factor: v.optional(number, 0.18215),
  shift_factor: v.optional(v.nullable(number), null as number | null),
  latents_mean: vector,
  latents_std: vector,
  // Some checkpoints overflow in half precision; here everything is float32 anyway.
  force_upcast: v.optional(flag, true),
  use_quant_conv: v.optional(flag, true),
  use_post_quant_conv: v.optional(flag, true),
  mid_block_add_attention: v.optional(flag, true),
};
const schema = v.object(fields);
type Json = v.InferOutput<typeof schema>;

export interface VaeConfigOptions {
  /** Unknown fields that do not matter. */
  readonly ignore?: readonly string[];
}

function refuse(rule: string, got: unknown, remedy: string): never {
  throw new Error(`vae: ${rule}; got ${shown(got)}; ${remedy}`);
}

/** Fields that begin with an underscore are about the file, not the model, but for the class's name. */
function checkNames(json: Record<string, unknown>, ignore: readonly string[]): void {
  const { _class_name: name = 'AutoencoderKL' } = json;
  if (name !== 'AutoencoderKL') refuse('_class_name is AutoencoderKL', name, "give that model's config.json");
  const known = Object.keys(fields);
  for (const field of Object.keys(json)) {
    if (field.startsWith('_') || known.includes(field) || ignore.includes(field)) continue;
    const remedy = `closest: ${closest(field, known, 2).join(', ')}; if it does not matter, leave it out`;
    refuse('every field of the config is known', field, remedy);
  }
}

function checkBlocks(c: Json): void {
  const kinds = [
    ['down_block_types', 'DownEncoderBlock2D', c.down_block_types],
    ['up_block_types', 'UpDecoderBlock2D', c.up_block_types],
  ] as const;
  const levels = c.block_out_channels.length;
  for (const [field, supported, types] of kinds) {
    const other = types.find((type) => type !== supported);
    if (other !== undefined) {
      refuse(`${field}: only ${supported} is implemented, Stable Diffusion's block`, other, 'use such an autoencoder');
    }
    if (types.length !== levels) {
      refuse(`${field} has one entry for each of block_out_channels, ${levels}`, types.length, 'correct config.json');
    }
  }
  const odd = c.block_out_channels.find((channels) => channels % c.norm_num_groups !== 0);
  if (odd !== undefined) {
    refuse(`block_out_channels divide into norm_num_groups, ${c.norm_num_groups}`, odd, 'correct config.json');
  }
  if (c.act_fn !== 'silu' && c.act_fn !== 'swish') {
    refuse('act_fn: only silu, also called swish, is implemented', c.act_fn, 'use a Stable Diffusion autoencoder');
  }
}

function checkLatentScale(c: Json): void {
  for (const field of ['latents_mean', 'latents_std'] as const) {
    const length = c[field]?.length ?? c.latent_channels;
    if (length !== c.latent_channels) {
      refuse(
        `${field} has one number for each of latent_channels, ${c.latent_channels}`,
        length,
        'correct config.json',
      );
    }
  }
  if ((c.latents_mean === null) !== (c.latents_std === null)) {
    refuse('latents_mean and latents_std go together', [c.latents_mean, c.latents_std], 'give both or neither');
  }
  if (c.latents_mean !== null && c.shift_factor !== null) {
    refuse('diffusers does not say how shift_factor and latents_mean go together', c.shift_factor, 'give one of them');
  }
  if (c.scaling_factor === 0) refuse('scaling_factor is not 0', 0, "Stable Diffusion's is 0.18215");
  if (c.latents_std?.includes(0)) refuse('latents_std are not 0', c.latents_std, 'correct config.json');
}

/** Reads diffusers' vae/config.json, unchanged, with diffusers' defaults.
 * @throws when a field is unknown, of another type, or asks for what is not implemented: by the field's name
 * @source diffusers 0.42.1 AutoencoderKL */
export function parseVaeConfig(json: unknown, { ignore = [] }: VaeConfigOptions = {}): VaeConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    refuse('a config is an object', json, 'parse config.json with JSON.parse first');
  }
  checkNames(json as Record<string, unknown>, ignore);
  const parsed = v.safeParse(schema, json, { abortEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    refuse(`${issue.path?.[0].key} ${issue.message}`, issue.input, 'correct config.json');
  }
  const c = parsed.output;
  checkBlocks(c);
  checkLatentScale(c);
  return {
    inChannels: c.in_channels,
    outChannels: c.out_channels,
    blockOutChannels: c.block_out_channels,
    layersPerBlock: c.layers_per_block,
    latentChannels: c.latent_channels,
    normGroups: c.norm_num_groups,
    midAttention: c.mid_block_add_attention,
    quantConv: c.use_quant_conv,
    postQuantConv: c.use_post_quant_conv,
    sampleSize: Array.isArray(c.sample_size) ? c.sample_size[0] : c.sample_size,
    scalingFactor: c.scaling_factor,
    shiftFactor: c.shift_factor ?? undefined,
    latentsMean: c.latents_mean ?? undefined,
    latentsStd: c.latents_std ?? undefined,
  };
}

/** How many image pixels one latent pixel stands for, along each side: 8 in Stable Diffusion. */
export function scaleOf(config: VaeConfig): number {
  return 2 ** (config.blockOutChannels.length - 1);
}
