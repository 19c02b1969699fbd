import { MOST, shown } from '@rass/nn';
import { type ByteFolder, readJson } from '@rass/weights';
import * as v from 'valibot';

/** What says how the files of both stages are used. */
export const STAGES_FILE = 'rass.json';

const COUNT = 'is a whole number from 1 up';
const upTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));
const count = upTo(MOST.size);
const MOST_CHARACTERS = 1000;
const text = v.pipe(v.string(), v.maxLength(MOST_CHARACTERS, `has at most ${MOST_CHARACTERS} characters`));
/** Photographs are enlarged to it. */
const MOST_SHORT_SIDE = 4096;
/** Labels are bytes, of which the last means none. */
const MOST_CLASSES = 255;
const TIMESTEP = 'is a whole number from 0 up';
const timestep = v.pipe(
  v.number(TIMESTEP),
  v.integer(TIMESTEP),
  v.minValue(0, TIMESTEP),
  v.maxValue(MOST.steps - 1, `is below ${MOST.steps}`),
);
/** Of adapters that are in a file; absent where they are merged into the UNet. */
const lora = {
  rank: v.optional(count),
  alpha: v.optional(v.pipe(v.number(), v.finite('is a finite number'), v.gtValue(0))),
};
const restoration = v.pipe(
  v.strictObject({
    file: v.optional(text),
    ...lora,
    latentUpdate: v.picklist(['residual', 'ddpm']),
    timestep,
  }),
  v.check(
    ({ file, rank, alpha }) =>
      (file === undefined) === (rank === undefined) && (rank === undefined) === (alpha === undefined),
    'adapters have a file, a rank and an alpha, and merged ones none of them',
  ),
);
const COLOUR = 'is three whole numbers from 0 to 255';
const level = v.pipe(v.number(COLOUR), v.integer(COLOUR), v.minValue(0, COLOUR), v.maxValue(255, COLOUR));
const colour = v.strictTuple([level, level, level], COLOUR);
const segmentation = v.strictObject({
  /** Of the head, and of the adapters where they are not merged. */
  file: text,
  ...lora,
  timestep,
  /** Whether the restoration LoRA is merged before this one is added. */
  mergesRestoration: v.boolean(),
  /** The shorter side of what it was trained on. */
  size: v.optional(upTo(MOST_SHORT_SIDE)),
  classes: v.pipe(
    v.array(v.strictObject({ name: text, colour })),
    v.minLength(1),
    v.maxLength(MOST_CLASSES, `has at most ${MOST_CLASSES} entries`),
  ),
  head: v.record(v.string(), v.unknown()),
  fusion: v.strictObject({
    taps: v.array(v.strictObject({ name: text, channels: count, stride: count })),
    channels: count,
    bottleneck: v.optional(count),
    groups: count,
  }),
});
const stages = v.strictObject({
  format: v.literal(1),
  restoration: v.optional(restoration),
  segmentation: v.optional(segmentation),
});

/** The adapters that a stage has beside the UNet; none where they are merged into it. */
export function stageLora({
  rank,
  alpha,
}: {
  rank?: number | undefined;
  alpha?: number | undefined;
}): { rank: number; alpha: number } | undefined {
  return rank === undefined || alpha === undefined ? undefined : { rank, alpha };
}

export type RestorationStage = v.InferOutput<typeof restoration>;
export type SegmentationStage = v.InferOutput<typeof segmentation>;
export type Stages = v.InferOutput<typeof stages>;

/** What a model folder has beside diffusers' parts; nothing for a folder of diffusers. @throws when the file is none of this format */
export async function readStages(folder: ByteFolder): Promise<Stages> {
  const json = await readJson(folder, STAGES_FILE);
  if (json === undefined) return { format: 1 };
  const result = v.safeParse(stages, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(
    `model: ${folder.name}/${STAGES_FILE}: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message.slice(0, 200)}; got ${shown(issue.input)}; export the model anew`,
  );
}
