import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { PackedValues } from '../../../packed-tensor.ts';
import { CheckedWebGPUBackend } from '../checked-backend.ts';
import { expand } from '../programs/expand.ts';
import { isOfVectors, type Packed, packedWords } from './packed.ts';

type DataId = object;
/** A value takes so many at most, with its share of its group. */
const BYTES: Readonly<Record<PackedValues['kind'], number>> = { half: 2, affine: 1.125 };

type RunArguments = Parameters<WebGPUBackend['runWebGPUProgram']>;

/** The backend with weights that stay packed in GPU memory. For TensorFlow.js such a tensor is float32 without a buffer of its own: our
 * shaders are given the buffer of its words, and every other kernel, and whoever reads it, a copy in float32 that is freed after it. */
export class PackingWebGPUBackend extends CheckedWebGPUBackend {
  readonly #packed = new Map<DataId, Packed>();

  canPack({ kind }: Pick<PackedValues, 'kind'>, shape: readonly number[]): boolean {
    if (!this.fused || !isOfVectors(shape)) return false;
    // What does not fit into one buffer may fit as float32 on the host, as large tables do.
    const { maxBufferSize = 0, maxStorageBufferBindingSize = 0 } = this.limits;
    const bytes = util.sizeFromShape([...shape]) * BYTES[kind];
    return bytes <= Math.min(maxBufferSize, maxStorageBufferBindingSize);
  }

  writePacked(values: PackedValues, shape: readonly number[]): DataId {
    const { format, words } = packedWords(values, shape);
    const info = this.makeTensorInfo([words.length], 'int32', words);
    // At once, so that the host keeps no copy until the weight is used.
    this.uploadToGPU(info.dataId);
    const dataId = this.write(null as never, [...shape], 'float32');
    this.#packed.set(dataId, { format, shape, words: info });
    return dataId;
  }

  isPacked(dataId: DataId): boolean {
    return this.#packed.has(dataId);
  }

  /** The buffer of a packed tensor, and how it is read. */
  packedOf(tensor: TensorInfo): Packed | undefined {
    return this.#packed.get(tensor.dataId);
  }

  override runWebGPUProgram(...[program, inputs, ...rest]: RunArguments): TensorInfo {
    if (!inputs.some(({ dataId }) => this.#packed.has(dataId))) return super.runWebGPUProgram(program, inputs, ...rest);
    return this.#withCopies(inputs, (all) => super.runWebGPUProgram(program, all, ...rest));
  }

  override disposeData(dataId: DataId, force = false): boolean {
    const isGone = super.disposeData(dataId, force);
    const packed = this.#packed.get(dataId);
    if (isGone && packed !== undefined) {
      this.#packed.delete(dataId);
      super.disposeData(packed.words.dataId);
    }
    return isGone;
  }

  override async read(dataId: DataId): ReturnType<WebGPUBackend['read']> {
    const copy = this.#copyOf(dataId);
    if (copy === undefined) return super.read(dataId);
    try {
      return await super.read(copy.dataId);
    } finally {
      super.disposeData(copy.dataId);
    }
  }

  override readSync(dataId: DataId): ReturnType<WebGPUBackend['readSync']> {
    return this.#onCopy(dataId, (id) => super.readSync(id));
  }

  override readToGPU(dataId: DataId): ReturnType<WebGPUBackend['readToGPU']> {
    return this.#onCopy(dataId, (id) => super.readToGPU(id));
  }

  override shouldExecuteOnCPU(inputs: TensorInfo[], sizeThreshold?: number): boolean {
    // TensorFlow.js takes a tensor without a buffer for one whose values the host has.
    return !inputs.some(({ dataId }) => this.#packed.has(dataId)) && super.shouldExecuteOnCPU(inputs, sizeThreshold);
  }

  /** Reads a tensor, of a packed one the expanded copy. */
  #onCopy<T>(dataId: DataId, read: (dataId: DataId) => T): T {
    const copy = this.#copyOf(dataId);
    if (copy === undefined) return read(dataId);
    try {
      return read(copy.dataId);
    } finally {
      super.disposeData(copy.dataId);
    }
  }

  /** Runs on inputs of which the packed ones are expanded. */
  #withCopies(inputs: readonly TensorInfo[], run: (inputs: TensorInfo[]) => TensorInfo): TensorInfo {
    const copies: TensorInfo[] = [];
    try {
      const all = inputs.map((input) => {
        const copy = this.#copyOf(input.dataId);
        if (copy === undefined) return input;
        copies.push(copy);
        return { ...input, dataId: copy.dataId };
      });
      return run(all);
    } finally {
      for (const { dataId } of copies) super.disposeData(dataId);
    }
  }

  #copyOf(dataId: DataId): TensorInfo | undefined {
    const packed = this.#packed.get(dataId);
    return packed && expand(this, packed);
  }
}
