import { adapterFactors, type FileAdapter } from '@rass/lora';
import { type ParamSource, shapeParams } from '@rass/nn';
import { parseUnetConfig, unetParams } from '@rass/unet';
import { type Checkpoint, readFloat32 } from '@rass/weights';

/** A stage's file, and the adapters that it has. */
export interface UnetStage {
  readonly checkpoint: Checkpoint;
  readonly adapters: readonly FileAdapter[];
}

/** What a stage has in place of the UNet's own. */
const OWN = /^conv_in\.(weight|bias)$/;

/** Whether a tensor of a stage's file is in the UNet once the stage is merged. */
export const isMerged = (key: string): boolean => /\.lora_[AB]\./.test(key) || OWN.test(key);

/** A product for one of the UNet's weights, by its factors' keys. */
interface Product {
  readonly down: string;
  readonly up: string;
  readonly scale: number;
}

/** @throws when a stage's file does not have exactly the tensors of its adapters */
function checkStage({ name, keys, has, info }: Checkpoint, wanted: ReadonlyMap<string, readonly number[]>): void {
  const refuse = (got: string): never => {
    throw new Error(
      `export: ${name}: it has the adapters that rass.json says, of this UNet; got ${got}; train it again`,
    );
  };
  for (const [key, shape] of wanted) {
    if (!has(key)) refuse(`no "${key}"`);
    const found = info(key).shape;
    if (found.join() !== shape.join()) refuse(`"${key}" [${found.join(', ')}] for [${shape.join(', ')}]`);
  }
  const other = keys().find((key) => isMerged(key) && !wanted.has(key));
  if (other !== undefined) refuse(`"${other}"`);
}

/** What a stage has: its adapters, on a UNet of shapes alone, and the shapes of all of its tensors by key. */
function stageShapes(config: unknown, adapters: readonly FileAdapter[]) {
  const parsed = parseUnetConfig(config);
  const unet = unetParams(shapeParams(), parsed);
  const shapes = new Map<string, readonly number[]>();
  const from: ParamSource = shapeParams(({ key, checkpointShape }) => shapes.set(key, checkpointShape));
  const factors = adapters.flatMap((adapter) => adapterFactors(from, unet, adapter));
  from.at('conv_in').conv2d(parsed.inChannels, unet.convIn.weight.shape[3], { kernel: parsed.convInKernel });
  return { factors, shapes };
}

/** The shapes of a stage's tensors by their keys: of its adapters and of the first convolution. */
export const adapterShapes = (config: unknown, adapters: readonly FileAdapter[]): Map<string, readonly number[]> =>
  stageShapes(config, adapters).shapes;

/** The products of a stage by the weight that they are for. */
function productsOf({ checkpoint, adapters }: UnetStage, config: unknown): Map<string, Product[]> {
  const { factors, shapes } = stageShapes(config, adapters);
  checkStage(checkpoint, shapes);
  const found = new Map<string, Product[]>();
  for (const {
    path,
    scale,
    factors: { down, up },
  } of factors) {
    const key = `${path}.weight`;
    const product = { down: `${down.path}.weight`, up: `${up.path}.weight`, scale };
    found.set(key, [...(found.get(key) ?? []), product]);
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
 * @throws when a stage's file has not the adapters that it is said to have, or a part of them */
export function mergedUnet(unet: Checkpoint, config: unknown, stages: readonly UnetStage[]): Checkpoint {
  const products = stages.map((stage) => productsOf(stage, config));
  const isTouched = (key: string): boolean => OWN.test(key) || products.some((of) => of.has(key));
  return {
    ...unet,
    info: (key) => ({ ...unet.info(key), ...(isTouched(key) && { dtype: 'F32' as const }) }),
    async read(key, options) {
      if (!isTouched(key)) return unet.read(key, options);
      const { shape } = unet.info(key);
      let values = await readFloat32(unet, key, options);
      for (const [i, { checkpoint }] of stages.entries()) {
        if (OWN.test(key)) values = await readFloat32(checkpoint, key, options);
        for (const { down, up, scale } of products[i]!.get(key) ?? []) {
          const [a, b] = await Promise.all([readFloat32(checkpoint, down), readFloat32(checkpoint, up)]);
          addProduct(values, a, b, [shape[0]!, scale]);
        }
      }
      return { dtype: 'F32', shape, data: values };
    },
    // What is read in parts, or as codes, is what lies below.
    readPart: undefined as never,
    readQuantized: undefined as never,
    async close() {},
  };
}
