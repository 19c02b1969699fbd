import { byteText, DeviceError } from './device-errors.ts';

/** Freed buffers are kept up to this many bytes; a training step asks for the same sizes again and again. */
export const DEFAULT_POOL_BYTES = 512 * 2 ** 20;

/** What a device allows for one buffer, in bytes. */
export interface BufferLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

function keyOf(size: number, usage: number): string {
  return `${size}_${usage}`;
}

/** GPU buffers for tensors: those freed are kept for the next of the same size, up to a number of bytes; past it the
 * longest unused ones are given back to the device. Takes the place of TensorFlow.js's pool, which never gives back. */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  /** Free buffers by size and usage; the keys are in the order of their last release. */
  readonly freeBuffers = new Map<string, GPUBuffer[]>();
  private readonly used = new Set<GPUBuffer>();
  private readonly device: GPUDevice;
  private readonly limits: BufferLimits;
  private readonly maxFreeBytes: number;
  private freeCount = 0;
  private retired = new WeakSet<GPUBuffer>();

  constructor(device: GPUDevice, limits: BufferLimits = device.limits, maxFreeBytes: number = DEFAULT_POOL_BYTES) {
    this.device = device;
    this.limits = limits;
    this.maxFreeBytes = maxFreeBytes;
  }

  acquireBuffer(size: number, usage: GPUBufferUsageFlags, mappedAtCreation = false, reuse = true): GPUBuffer {
    const key = keyOf(size, usage);
    const free = reuse ? this.freeBuffers.get(key) : undefined;
    let buffer = free?.pop();
    if (buffer === undefined) {
      buffer = this.create(size, usage, mappedAtCreation);
    } else {
      this.freeCount -= 1;
      if (free!.length === 0) this.freeBuffers.delete(key);
    }
    this.used.add(buffer);
    this.numBytesUsed += size;
    return buffer;
  }

  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    // Buffers of a pool that was disposed of come back late; they are destroyed already.
    if (!this.used.delete(buffer)) return;
    this.numBytesUsed -= buffer.size;
    if (!reuse || this.retired.has(buffer)) {
      this.destroy(buffer);
      return;
    }
    const key = keyOf(buffer.size, buffer.usage);
    const free = this.freeBuffers.get(key) ?? [];
    this.freeBuffers.delete(key);
    this.freeBuffers.set(key, free);
    free.push(buffer);
    this.freeCount += 1;
    this.trim(this.maxFreeBytes);
  }

  /** Gives free buffers back, the longest unused first, until at most `keepBytes` are kept; returns the bytes freed. */
  trim(keepBytes = 0): number {
    let freed = 0;
    for (const [key, free] of this.freeBuffers) {
      while (free.length > 0 && this.numBytesAllocated - this.numBytesUsed > keepBytes) {
        const buffer = free.shift()!;
        freed += buffer.size;
        this.freeCount -= 1;
        this.destroy(buffer);
      }
      if (free.length === 0) this.freeBuffers.delete(key);
      else break;
    }
    return freed;
  }

  /** After an error of the device: a buffer may be invalid, so none that exists now is used for another tensor. */
  retire(): void {
    this.trim();
    for (const buffer of this.used) this.retired.add(buffer);
  }

  getNumUsedBuffers(): number {
    return this.used.size;
  }

  getNumFreeBuffers(): number {
    return this.freeCount;
  }

  dispose(): void {
    this.trim(0);
    for (const buffer of this.used) this.destroy(buffer);
    this.used.clear();
    this.numBytesUsed = 0;
  }

  private create(size: number, usage: GPUBufferUsageFlags, mappedAtCreation: boolean): GPUBuffer {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.limits;
    const isStorage = (usage & GPUBufferUsage.STORAGE) !== 0;
    const limit = isStorage ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
    if (size > limit) {
      const name = limit === maxBufferSize ? 'maxBufferSize' : 'maxStorageBufferBindingSize';
      throw new DeviceError(
        'limit',
        `webgpu: a tensor must fit into one buffer of at most ${byteText(limit)} (${name}); it takes ${byteText(size)}; ` +
          'work on smaller pieces, or choose another backend',
      );
    }
    const buffer = this.device.createBuffer({ size, usage, mappedAtCreation });
    this.numBytesAllocated += size;
    return buffer;
  }

  private destroy(buffer: GPUBuffer): void {
    buffer.destroy();
    this.numBytesAllocated -= buffer.size;
  }
}
