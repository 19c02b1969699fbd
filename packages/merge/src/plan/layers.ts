import { stableDiffusionTensors, type ViewEntry } from '@rass/weights';
import type { TensorNode } from './node.ts';

/** Where a tensor that an adapter means lies in a model: in one of its tensors, some rows of one, or one in another shape. */
export interface Place extends ViewEntry {
  /** As the adapter's program has it. */
  readonly shape: readonly number[];
}

/** The tensors of the parts of a model, by the part's name in a pipeline and the name that diffusers and transformers give the tensor. */
export type ModelParts = ReadonlyMap<string, ReadonlyMap<string, Place>>;

// What tells a part that is a file of its own, by keys that only it has.
const PARTS: readonly (readonly [pattern: RegExp, part: string])[] = [
  [/^(text_model\.)?encoder\.layers\.\d+\./, 'text_encoder'],
  [/^(encoder|decoder)\.(down_blocks|mid_block|up_blocks)\./, 'vae'],
];

/** diffusers' parts in one file, each below its name. */
const JOINED = /^(unet|vae|text_encoder|text_encoder_2|transformer)\./;

function joinedParts(node: TensorNode): Map<string, Map<string, ViewEntry>> {
  const parts = new Map<string, Map<string, ViewEntry>>();
  for (const key of node.keys) {
    const part = JOINED.exec(key)?.[1];
    if (part === undefined) continue;
    parts.set(part, (parts.get(part) ?? new Map()).set(key.slice(part.length + 1), { key }));
  }
  return parts;
}

const ownPart = (node: TensorNode): string =>
  PARTS.find(([pattern]) => node.keys.some((key) => pattern.test(key)))?.[1] ?? 'unet';

function placeOf(node: TensorNode, { key, rows, shape }: ViewEntry): Place {
  const own = node.info(key).shape;
  const whole = rows === undefined ? own : [rows[1] - rows[0], ...own.slice(1)];
  return { key, ...(rows && { rows }), shape: shape ?? whole };
}

/** The parts of a model: of a single file those that are in it; else the one part that the file is, `named` where it is said. */
export function partsOf(node: TensorNode, named: string | undefined): ModelParts {
  const checkpoint = { name: node.name, keys: () => [...node.keys], has: node.has, info: node.info };
  const inFile = [stableDiffusionTensors(checkpoint), joinedParts(node)].find((parts) => parts.size > 0);
  const own = (): Map<string, Map<string, ViewEntry>> =>
    new Map([[named ?? ownPart(node), new Map(node.keys.map((key) => [key, { key }]))]]);
  return new Map(
    [...(inFile ?? own())].map(([part, entries]) => [
      part,
      new Map([...entries].map(([name, entry]) => [name, placeOf(node, entry)])),
    ]),
  );
}

const WEIGHT = /\.weight$/;

/** The shapes of a part's weights by the path of their layer, as @rass/lora takes them. */
export const shapesOf = (tensors: ReadonlyMap<string, Place>): Map<string, readonly number[]> =>
  new Map([...tensors].flatMap(([name, { shape }]) => (WEIGHT.test(name) ? [[name.replace(WEIGHT, ''), shape]] : [])));
