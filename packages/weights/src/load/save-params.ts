import { type NamedTensor, namedTensors } from '@rass/nn';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type EncodableDtype, fromFloat32 } from '../dtype/encode.ts';
import { WeightsError } from '../error.ts';
import type { TensorSpec, TensorWriter } from '../writer.ts';
import { toOihw } from './layout.ts';

/** How a parameter tree is written. */
export interface SaveOptions {
  /** The type of every tensor, or of each by its key; default F32. */
  dtype?: EncodableDtype | ((key: string) => EncodableDtype);
  /** Put before every key: `unet.`. */
  prefix?: string;
}

/** The tensors of a tree by key; one that two leaves share is there once. */
function tensorsByKey(tree: unknown, prefix: string): Map<string, NamedTensor> {
  const byKey = new Map<string, NamedTensor>();
  for (const named of namedTensors(tree)) {
    const key = prefix + named.key;
    const known = byKey.get(key);
    if (known !== undefined && known.tensor !== named.tensor) {
      throw new WeightsError('Collision', `saveParams: each tensor has a key of its own; got two for "${key}"`);
    }
    byKey.set(key, named);
  }
  return byKey;
}

/** As the checkpoint has it: a convolution is [O, I, Kh, Kw] there. */
function checkpointShape({ tensor, layout }: NamedTensor): number[] {
  if (layout === 'same') return [...tensor.shape];
  const [rows, columns, inputs, outputs] = tensor.shape;
  return [outputs, inputs, rows, columns];
}

/** What a writer must know before the tensors come: the type and shape of each, as PyTorch lays them out. */
export function paramSpecs(tree: unknown, { dtype = 'F32', prefix = '' }: SaveOptions = {}): Map<string, TensorSpec> {
  const specs = [...tensorsByKey(tree, prefix)].map(([key, named]): [string, TensorSpec] => [
    key,
    { dtype: typeof dtype === 'function' ? dtype(key) : dtype, shape: checkpointShape(named) },
  ]);
  return new Map(specs);
}

async function valuesOf(key: string, tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
  const values = await tensor.data();
  if (values instanceof Float32Array) return values as Float32Array<ArrayBuffer>;
  throw new WeightsError('NotFloat', `saveParams: parameters are float32; got ${tensor.dtype} for "${key}"`);
}

/** Writes a tree to a writer that was started with its paramSpecs, one tensor at a time, convolutions laid out as PyTorch
 * has them, and finishes it. When something fails nothing is left behind. The tree stays as it is.
 * @throws WeightsError `NotFloat`, `Collision`; SafetensorsError when the tree does not fit the writer */
export async function saveParams(
  tree: unknown,
  writer: TensorWriter,
  { prefix = '' }: Pick<SaveOptions, 'prefix'> = {},
): Promise<void> {
  try {
    const tensors = tensorsByKey(tree, prefix);
    for (const key of writer.names) {
      const named = tensors.get(key);
      // A tensor that is not this tree's was written before; finish() tells if it was not.
      if (named === undefined) continue;
      const values = await valuesOf(key, named.tensor);
      const laidOut = named.layout === 'conv2d' ? toOihw(values, named.tensor.shape) : values;
      await writer.write(key, fromFloat32(laidOut, writer.specs.get(key)!.dtype));
    }
    const unannounced = [...tensors.keys()].find((key) => !writer.specs.has(key));
    if (unannounced !== undefined) {
      throw new WeightsError('NotAnnounced', `saveParams: the writer was told of every tensor; got "${unannounced}"`);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}
