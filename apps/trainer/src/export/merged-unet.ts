import { type Checkpoint, readFloat32 } from '@rass/weights';

/** A stage's file, and what its products are multiplied by. */
export interface UnetStage {
  readonly checkpoint: Checkpoint;
  readonly scale: number;
}

const FACTOR = /^(.*)\.lora_A\.([^.]+)\.weight$/;
/** What a stage has in place of the UNet's own. */
const OWN = /^conv_in\.(weight|bias)$/;

/** Whether a tensor of a stage's file is in the UNet once the stage is merged. */
export const isMerged = (key: string): boolean => /\.lora_[AB]\./.test(key) || OWN.test(key);

/** Keys of the factors by the weight that they are for. */
function factorsOf(
  name: string,
  { checkpoint }: UnetStage,
  unet: Checkpoint,
): Map<string, [down: string, up: string][]> {
  const found = new Map<string, [string, string][]>();
  for (const down of checkpoint.keys()) {
    const [, path, adapter] = FACTOR.exec(down) ?? [];
    if (path === undefined) continue;
    const [weight, up] = [`${path}.weight`, `${path}.lora_B.${adapter}.weight`];
    for (const [key, of] of [
      [weight, unet],
      [up, checkpoint],
    ] as const) {
      if (!of.has(key)) throw new Error(`export: ${name}: a product has its layer and both factors; got no "${key}" for "${down}"; train it again, or give --no-merge`); // biome-ignore format: one line
    }
    found.set(weight, [...(found.get(weight) ?? []), [down, up]]);
  }
  return found;
}

/** Adds scale B A. @shape weight [O, ...], down [R, ...], up [O, R, ...] */
function addProduct(
  weight: Float32Array,
  down: Float32Array,
  up: Float32Array,
  [outputs, scale]: [number, number],
): void {
  const rank = up.length / outputs;
  const columns = down.length / rank;
  for (let o = 0; o < outputs; o++) {
    const row = weight.subarray(o * columns, (o + 1) * columns);
    for (let r = 0; r < rank; r++) {
      const factor = scale * up[o * rank + r]!;
      const from = down.subarray(r * columns, (r + 1) * columns);
      for (let i = 0; i < columns; i++) row[i]! += factor * from[i]!;
    }
  }
}

/** A UNet's checkpoint with stages in its weights, the first one first; computed in float32 as they are read. Closing it closes none of those below.
 * @throws when a stage has factors of no layer, or half of a pair */
export function mergedUnet(unet: Checkpoint, stages: readonly UnetStage[]): Checkpoint {
  const products = stages.map((stage) => factorsOf(stage.checkpoint.name, stage, unet));
  const isTouched = (key: string): boolean =>
    stages.some(({ checkpoint }, i) => products[i]!.has(key) || (OWN.test(key) && checkpoint.has(key)));
  return {
    ...unet,
    info: (key) => ({ ...unet.info(key), ...(isTouched(key) && { dtype: 'F32' }) }),
    async read(key, options) {
      if (!isTouched(key)) return unet.read(key, options);
      const { shape } = unet.info(key);
      let values = await readFloat32(unet, key, options);
      for (const [i, { checkpoint, scale }] of stages.entries()) {
        if (OWN.test(key) && checkpoint.has(key)) values = await readFloat32(checkpoint, key, options);
        for (const [down, up] of products[i]!.get(key) ?? []) {
          const [a, b] = await Promise.all([readFloat32(checkpoint, down), readFloat32(checkpoint, up)]);
          addProduct(values, a, b, [shape[0]!, scale]);
        }
      }
      return { dtype: 'F32', shape, data: values };
    },
    readPart: undefined,
    readQuantized: undefined,
    async close() {},
  } as Checkpoint;
}
