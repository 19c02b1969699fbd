import { type ByteFolder, readJson } from '@rass/weights';
import * as v from 'valibot';

/** What says how the files of both stages are used. */
export const STAGES_FILE = 'rass.json';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
/** Of adapters that are in a file; absent where they are merged into the UNet. */
const lora = { rank: v.optional(count), alpha: v.optional(v.pipe(v.number(), v.gtValue(0))) };
const restoration = v.pipe(
  v.strictObject({
    file: v.optional(v.string()),
    ...lora,
    latentUpdate: v.picklist(['residual', 'ddpm']),
    timestep: v.pipe(v.number(), v.integer(), v.minValue(0)),
  }),
  v.check(
    ({ file, rank, alpha }) =>
      (file === undefined) === (rank === undefined) && (rank === undefined) === (alpha === undefined),
    'adapters have a file, a rank and an alpha, and merged ones none of them',
  ),
);
const colour = v.tuple([v.number(), v.number(), v.number()]);
const segmentation = v.strictObject({
  /** Of the head, and of the adapters where they are not merged. */
  file: v.string(),
  ...lora,
  timestep: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Whether the restoration LoRA is merged before this one is added. */
  mergesRestoration: v.boolean(),
  /** The shorter side of what it was trained on. */
  size: v.optional(count),
  classes: v.pipe(v.array(v.strictObject({ name: v.string(), colour })), v.minLength(1)),
  head: v.record(v.string(), v.unknown()),
  fusion: v.strictObject({
    taps: v.array(v.strictObject({ name: v.string(), channels: count, stride: count })),
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
  const result = v.safeParse(stages, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(
    `model: ${folder.name}/${STAGES_FILE}: ${v.getDotPath(issue)}: ${issue.message}; got ${JSON.stringify(issue.input)}; export the model anew`,
  );
}
