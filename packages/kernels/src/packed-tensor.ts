import { backend, type DataType, engine, type KernelBackend, type Tensor } from '@tensorflow/tfjs-core';

/** How the groups of a quantized weight lie: along the inputs of each output. Of a convolution the inputs are counted as PyTorch does, a channel's
 * places before the next channel; a group may end in the midst of a channel.
 * `oi`: [O, I] or any table of rows; `hwio`: [Kh, Kw, I, O] */
export type PackedLayout = 'oi' | 'hwio';

/** Numbers as they are stored, with fewer than 32 bits each, in the order of the tensor. */
export type PackedValues =
  | {
      readonly kind: 'half';
      /** Of float16. */
      readonly bits: Uint16Array;
    }
  | {
      readonly kind: 'affine';
      readonly layout: PackedLayout;
      readonly bits: 4 | 8;
      readonly groupSize: number;
      /** Packed from the lowest bits up. */
      readonly codes: Uint32Array;
      /** In float16, as the biases: value = scale * code + bias. @shape oi [O, groups], hwio [groups, O] */
      readonly scales: Uint16Array;
      readonly biases: Uint16Array;
    };

/** A backend whose kernels read packed weights. */
interface PackingBackend extends KernelBackend {
  canPack(values: Pick<PackedValues, 'kind'>, shape: readonly number[]): boolean;
  writePacked(values: PackedValues, shape: readonly number[]): object;
  isPacked(dataId: object): boolean;
}

const packing = (): Partial<PackingBackend> => backend() as unknown as Partial<PackingBackend>;

/** Whether the current backend keeps a weight of this shape packed: WebGPU with our shaders does, where they read whole vectors of it. */
export function canPack(kind: PackedValues['kind'], shape: readonly number[]): boolean {
  return packing().canPack?.({ kind }, shape) ?? false;
}

function refuse(rule: string, got: string): never {
  throw new Error(`packedTensor: ${rule}; got ${got}; look at what made the values`);
}

/** @throws when there are not as many values as the shape takes, or groups that no shader reads */
function checkValues(values: PackedValues, shape: readonly number[]): void {
  const size = shape.reduce((a, b) => a * b, 1);
  const of = `[${shape.join(', ')}]`;
  if (values.kind === 'half') {
    if (values.bits.length !== size) refuse('there is a number for each value', `${values.bits.length} for ${of}`);
    return;
  }
  const { layout, bits, groupSize, codes, scales, biases } = values;
  if (shape.length !== (layout === 'oi' ? 2 : 4)) refuse('oi has two axes, and hwio four', `${layout} of ${of}`);
  if (!(Number.isInteger(groupSize) && groupSize > 0 && groupSize % 4 === 0)) {
    refuse('groups are of whole vectors of four', `${groupSize}`);
  }
  const words = Math.ceil((size * bits) / 32);
  if (codes.length !== words) refuse(`${of} has ${words} words of codes`, `${codes.length}`);
  const outputs = layout === 'oi' ? shape[0]! : shape[3]!;
  const groups = outputs * Math.ceil(size / outputs / groupSize);
  if (scales.length === groups && biases.length === groups) return;
  refuse(`${of} has ${groups} groups of ${groupSize}`, `${scales.length} scales and ${biases.length} biases`);
}

/** A float32 tensor whose values take no more memory than they are stored in: kernels expand what they read of them, those that cannot
 * are given a float32 copy that lasts as long as they run, and so is what is read back. @throws where canPack says no, or the values are not those of the shape */
export function packedTensor(values: PackedValues, shape: readonly number[]): Tensor {
  if (!canPack(values.kind, shape)) {
    throw new Error(
      `packedTensor: the backend keeps a weight of whole vectors packed; got [${shape.join(', ')}] on ${engine().backendName}; ask canPack first`,
    );
  }
  checkValues(values, shape);
  const current = backend() as PackingBackend;
  const dataId = current.writePacked(values, shape);
  return engine().makeTensorFromDataId(dataId, [...shape], 'float32' satisfies DataType, current);
}

/** Whether a tensor of the current backend is one that packedTensor made, or shares its values. */
export const isPacked = (tensor: Tensor): boolean => packing().isPacked?.(tensor.dataId) ?? false;
