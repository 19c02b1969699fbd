import { namedTensors } from '@rass/nn';
import { updateShape } from '../algebra/delta.ts';
import { layersOf } from '../names.ts';
import type { AdapterState, LayerUpdate } from '../state.ts';

export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The shapes of a model's weights by the path of their layer, as checkpoints have them: a convolution's is [O, I, Kh, Kw].
 * What openAdapter and convertToLora take as `shapes`. */
export function layerShapes(tree: unknown): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const leaf of layersOf(tree)) {
    const weight = leaf.kind === 'parameter' ? undefined : namedTensors(leaf).find(({ key }) => key.endsWith('weight'));
    if (weight === undefined) continue;
    const [rows, columns, inputs, outputs] = weight.tensor.shape;
    shapes.set(leaf.path, weight.layout === 'conv2d' ? [outputs, inputs, rows, columns] : weight.tensor.shape);
  }
  return shapes;
}

/** A layer of a file whose sizes are not the model's. */
export interface WrongShape {
  readonly layer: string;
  readonly got: readonly number[];
  readonly expected: readonly number[];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** An update may flatten a kernel, or spell a linear layer as a 1 x 1 convolution: outputs and number of values count. */
function isFitting(update: LayerUpdate, got: readonly number[], expected: readonly number[]): boolean {
  const isEmbedding = update.kind === 'lora' && update.embedding === true;
  if (isEmbedding || update.kind === 'diff') return `${got}` === `${expected}`;
  return got[0] === expected[0] && sizeOf(got) === sizeOf(expected);
}

/** What of an adapter does not fit the model's weights. */
export function wrongShapes({ layers, whole }: AdapterState, shapes: Shapes): WrongShape[] {
  const wrong: WrongShape[] = [];
  for (const [layer, update] of layers) {
    const [got, expected] = [updateShape(update), shapes.get(layer)];
    if (expected !== undefined && !isFitting(update, got, expected)) wrong.push({ layer, got, expected });
  }
  for (const [layer, expected] of shapes) {
    const got = whole.get(`${layer}.weight`)?.shape;
    if (got !== undefined && `${got}` !== `${expected}`) wrong.push({ layer: `${layer}.weight`, got, expected });
  }
  return wrong;
}
