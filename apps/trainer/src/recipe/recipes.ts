import { ALIGNMENT_KINDS, type AlignmentOptions } from '@rass/attention-alignment';
import * as v from 'valibot';
import { commonFields, count, degradationField, share, text, weight, wholeFromZero } from './fields.ts';

const json = v.record(v.string(), v.unknown());
const perceptual = v.optional(v.picklist(['alex', 'vgg', 'none']), 'none');
/** A model folder, as the earlier step of training writes it, or diffusers'. */
const model = text;
/** Where a prompt's tags come from while training: the labels that are in the crop, or nothing. */
const tags = v.optional(v.picklist(['labels', 'none']), 'labels');

const vaeSchema = v.strictObject({
  kind: v.literal('vae'),
  ...commonFields,
  /** diffusers' vae/config.json */
  vae: json,
  loss: v.optional(
    v.strictObject({
      l1: v.optional(weight, 1),
      l2: v.optional(weight, 0),
      lpips: v.optional(weight, 0.5),
      kl: v.optional(weight, 1e-6),
      net: perceptual,
    }),
    {},
  ),
});

const unetSchema = v.strictObject({
  kind: v.literal('unet'),
  ...commonFields,
  model,
  /** diffusers' unet/config.json and scheduler_config.json, transformers' text_encoder/config.json */
  unet: json,
  scheduler: v.optional(json, {}),
  textEncoder: json,
  /** Whether the text encoder learns too, or stays at its random start. */
  trainText: v.optional(v.boolean(), false),
  tags,
  /** How often a sample has no prompt. */
  dropPrompt: v.optional(share, 0.1),
});

const scrSchema = v.strictObject({
  kind: v.literal('scr'),
  ...commonFields,
  model,
  degradation: degradationField,
  lora: v.optional(v.strictObject({ rank: v.optional(count, 4), alpha: v.optional(v.number(), 8) }), {}),
  latentUpdate: v.optional(v.picklist(['residual', 'ddpm']), 'residual'),
  timestep: v.optional(wholeFromZero, 1),
  tags,
  dropPrompt: v.optional(share, 0),
  loss: v.optional(
    v.strictObject({
      l2: v.optional(weight, 1),
      lpips: v.optional(weight, 2),
      net: perceptual,
      distillation: v.optional(weight, 1),
      kind: v.optional(v.picklist(['csd', 'vsd', 'none']), 'csd'),
      guidance: v.optional(weight, 7.5),
      /** Noise levels of the judge: [from, below]. Default CSD [20, 500], VSD [20, 980]. */
      timesteps: v.optional(v.tuple([wholeFromZero, wholeFromZero])),
      negativePrompt: v.optional(v.string(), ''),
      alignment: v.optional(weight, 1),
      warmUp: v.optional(wholeFromZero, 500),
    }),
    {},
  ),
  /** Options of @rass/attention-alignment. */
  alignment: v.optional(
    v.looseObject({ kind: v.optional(v.picklist(ALIGNMENT_KINDS), 'area+ce') }) as v.GenericSchema<AlignmentOptions>,
    {},
  ),
});

const segSchema = v.strictObject({
  kind: v.literal('seg'),
  ...commonFields,
  model,
  degradation: degradationField,
  /** Whether the model's SCR LoRA is merged first; without it the frozen model's own features are read. */
  mergeRestoration: v.optional(v.boolean(), true),
  lora: v.optional(v.strictObject({ rank: v.optional(count, 4), alpha: v.optional(v.number(), 8) }), {}),
  timestep: v.optional(wholeFromZero, 1),
  tags: v.optional(v.picklist(['labels', 'none']), 'none'),
  dropPrompt: v.optional(share, 0),
  /** Fields of transformers' Mask2Former configuration that are not its defaults. */
  head: v.optional(json, {}),
  fusion: v.optional(
    v.strictObject({
      /** Feature maps by name, `vae.` and `unet.` before it; default RASS's. */
      taps: v.optional(v.pipe(v.array(text), v.minLength(1))),
      channels: v.optional(count, 512),
      bottleneck: v.optional(count),
      groups: v.optional(count, 32),
    }),
    {},
  ),
  criterion: v.optional(
    v.strictObject({
      classWeight: v.optional(weight),
      maskWeight: v.optional(weight),
      diceWeight: v.optional(weight),
      noObjectWeight: v.optional(weight),
      trainNumPoints: v.optional(count),
      oversampleRatio: v.optional(v.pipe(v.number(), v.minValue(1))),
      importanceSampleRatio: v.optional(share),
    }),
    {},
  ),
});

const SCHEMAS = { vae: vaeSchema, unet: unetSchema, scr: scrSchema, seg: segSchema } as const;
export type RecipeKind = keyof typeof SCHEMAS;
export const RECIPE_KINDS = Object.keys(SCHEMAS) as readonly RecipeKind[];

export type VaeRecipe = v.InferOutput<typeof vaeSchema>;
export type UnetRecipe = v.InferOutput<typeof unetSchema>;
export type ScrRecipe = v.InferOutput<typeof scrSchema>;
export type SegRecipe = v.InferOutput<typeof segSchema>;
export type Recipe = VaeRecipe | UnetRecipe | ScrRecipe | SegRecipe;

/** What a recipe file says; the rest is filled in. */
export type RecipeOptions =
  | v.InferInput<typeof vaeSchema>
  | v.InferInput<typeof unetSchema>
  | v.InferInput<typeof scrSchema>
  | v.InferInput<typeof segSchema>;

/** A recipe as it stands in a file: the identity, for its type. */
export const defineRecipe = <R extends RecipeOptions>(recipe: R): R => recipe;

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 80);

/** Checks a recipe and fills in what it leaves out. `where`: what errors begin with, or what they do at a field.
 * @throws naming every field that is wrong */
export function resolveRecipe(options: unknown, where: string | ((field: readonly PropertyKey[]) => string)): Recipe {
  const placeOf = typeof where === 'string' ? () => where : where;
  const kind = (options as { kind?: unknown } | null)?.kind;
  if (!RECIPE_KINDS.includes(kind as RecipeKind)) {
    throw new Error(
      `${placeOf(['kind'])}: kind is one of ${RECIPE_KINDS.join(', ')}; got ${shown(kind)}; say what is trained`,
    );
  }
  const result = v.safeParse(SCHEMAS[kind as RecipeKind], options);
  if (result.success) return result.output as Recipe;
  const lines = result.issues.map((issue) => {
    const at = v.getDotPath(issue) ?? '';
    const field = issue.path?.map(({ key }) => key as PropertyKey) ?? [];
    return `${placeOf(field)}: ${at}: ${issue.message}; got ${shown(issue.input)}; see the recipes of ${kind}`;
  });
  throw new Error(lines.join('\n'));
}
