import { WebGPUBackend, webgpu_util } from '@tensorflow/tfjs-backend-webgpu';
import type { WebGPUProgram } from '@tensorflow/tfjs-backend-webgpu/dist/webgpu_program.d.ts';
import { type DataType, engine, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { WebgpuOptions } from '../types.ts';
import { adapterNames, isSoftwareAdapter } from './adapter.ts';
import { type BufferLimits, BufferPool } from './buffer-pool.ts';
import { effectiveLimits } from './device.ts';
import { byteText, DeviceError } from './device-errors.ts';
import { ErrorWatch } from './error-watch.ts';

/** By then a loss is told of which a read has failed. */
const LOSS_TOLD_MS = 1000;

type Uniforms = { type: string; data: number[] }[];
type DataId = object;
type Limits = Record<
  | 'maxStorageBuffersPerShaderStage'
  | 'maxStorageBufferBindingSize'
  | 'maxBufferSize'
  | 'maxComputeInvocationsPerWorkgroup'
  | 'maxComputeWorkgroupsPerDimension',
  number
>;

function shapeText(tensor: TensorInfo): string {
  return `[${tensor.shape.join(',')}] ${tensor.dtype}`;
}

/** TensorFlow.js reads so by itself too, where a kernel of another backend is given a tensor of this one. */
function syncReadError(currentBackend: string): DeviceError {
  if (currentBackend === 'webgpu') {
    return new DeviceError(
      'sync-read',
      'webgpu: a synchronous read cannot tell whether the computation failed; got dataSync, arraySync or print of a tensor on the GPU; ' +
        'use `await tensor.data()`, or the option webgpu.syncReads in a browser',
    );
  }
  return new DeviceError(
    'sync-read',
    'webgpu: a tensor that lives on the GPU cannot be used on another backend; ' +
      `got one, while the backend is ${currentBackend}; before switching, read it (\`await tensor.data()\`) or dispose of it`,
  );
}

/** TensorFlow.js's WebGPU backend with our own device, on which nothing fails in silence: what is over a limit of the
 * device throws before it starts, with the op and the sizes; what fails on the device throws at the next read. */
export class CheckedWebGPUBackend extends WebGPUBackend {
  readonly watch: ErrorWatch;
  readonly pool: BufferPool;
  /** The limits that are kept to; the device's own, or smaller ones that were asked for. */
  readonly limits: Readonly<Record<string, number>>;
  /** The TensorFlow.js kernel that is running, for messages; a program alone only knows its own class. */
  currentKernel: string | undefined;
  /** Whether our shaders compute what they can; else TensorFlow.js's own do. */
  fused: boolean;
  /** Whether the adapter is a program on the CPU, for which other sizes are the fast ones. */
  readonly isSoftware: boolean;
  private readonly places = new WeakMap<DataId, number>();
  private readonly syncReads: boolean;
  /** The place of the tensor whose read is being started. */
  private readPlace: number | undefined;

  constructor(device: GPUDevice, info: GPUAdapterInfo | undefined, options: WebgpuOptions = {}) {
    super(device, info);
    this.limits = effectiveLimits(device, options.limits);
    this.watch = new ErrorWatch(device, () => this.pool.retire());
    this.pool = new BufferPool(device, this.limits as unknown as BufferLimits, options.poolBytes);
    this.bufferManager = this.pool as unknown as typeof this.bufferManager;
    this.isSoftware = isSoftwareAdapter(adapterNames({ info } as GPUAdapter));
    this.fused = options.fused ?? true;
    this.syncReads = options.syncReads ?? false;
  }

  override runWebGPUProgram(
    program: WebGPUProgram,
    inputs: TensorInfo[],
    dtype: DataType,
    uniforms?: Uniforms,
    output?: TensorInfo,
  ): TensorInfo {
    const name = this.currentKernel ?? program.constructor.name;
    this.watch.throwIfLost();
    for (const input of inputs) this.throwIfVoid(input.dataId);
    if (util.sizeFromShape(program.outputShape) > 0) {
      this.checkBuffers(name, program, inputs, output ?? { dataId: {}, shape: program.outputShape, dtype });
      this.checkDispatch(name, program, inputs);
    }
    const place = this.watch.note(name);
    const result = super.runWebGPUProgram(program, inputs, dtype, uniforms, output);
    this.places.set(result.dataId, place);
    return result;
  }

  override uploadToGPU(dataId: DataId): void {
    const data = this.tensorMap.get(dataId);
    const isNew = data.resource == null;
    super.uploadToGPU(dataId);
    if (isNew) this.places.set(dataId, this.watch.note(this.currentKernel ?? 'upload'));
  }

  override async read(dataId: DataId): ReturnType<WebGPUBackend['read']> {
    if (this.tensorMap.has(dataId)) this.throwIfVoid(dataId);
    this.readPlace = this.places.get(dataId);
    return super.read(dataId);
  }

  override readSync(dataId: DataId): ReturnType<WebGPUBackend['readSync']> {
    const { values, dtype } = this.tensorMap.get(dataId);
    if (values != null || dtype === 'string' || dtype === 'complex64') return super.readSync(dataId);
    if (!this.syncReads || typeof OffscreenCanvas === 'undefined') throw syncReadError(engine().backendName);
    this.throwIfVoid(dataId);
    return super.readSync(dataId);
  }

  override readToGPU(dataId: DataId): ReturnType<WebGPUBackend['readToGPU']> {
    this.throwIfVoid(dataId);
    const result = super.readToGPU(dataId);
    this.places.set(result.tensorRef.dataId, this.watch.note('readToGPU'));
    return result;
  }

  override createTensorFromGPUData(
    ...args: Parameters<WebGPUBackend['createTensorFromGPUData']>
  ): ReturnType<WebGPUBackend['createTensorFromGPUData']> {
    const tensor = super.createTensorFromGPUData(...args);
    this.places.set(tensor.dataId, this.watch.note('tensor from a GPUBuffer'));
    return tensor;
  }

  override async getBufferData(buffer: GPUBuffer): Promise<ArrayBuffer> {
    const place = this.readPlace;
    this.readPlace = undefined;
    // The copy is recorded and submitted before the first await, so it belongs to the window that is closed here.
    const copy = super.getBufferData(buffer);
    copy.catch(() => {});
    await this.watch.closeWindow();
    // Another read may have closed the window in which this tensor was computed.
    const failure = place === undefined ? undefined : this.watch.failureAt(place);
    if (failure !== undefined) throw failure;
    return copy.catch((error) => this.throwLost(error));
  }

  override dispose(): void {
    this.watch.stop();
    super.dispose();
    this.device.destroy();
  }

  /** Runs what is recorded, then gives the pool's free buffers back; returns the bytes freed. */
  trim(): number {
    this.ensureCommandEncoderReady();
    this.endComputePassEncoder();
    this.submitQueue();
    return this.pool.trim();
  }

  /** A read may fail of the device's loss before the loss itself is told. @throws the loss, else the read's own error */
  private async throwLost(error: unknown): Promise<never> {
    await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_TOLD_MS))]);
    this.watch.throwIfLost();
    throw error;
  }

  private throwIfVoid(dataId: DataId): void {
    const place = this.places.get(dataId);
    if (place === undefined) return;
    const failure = this.watch.failureAt(place);
    if (failure !== undefined) throw failure;
  }

  private bytesOf(tensor: TensorInfo): number {
    const resource = this.tensorMap.has(tensor.dataId) ? this.tensorMap.get(tensor.dataId).resource : undefined;
    if (resource != null && 'size' in resource) return resource.size;
    return webgpu_util.GPUBytesPerElement(tensor.dtype) * util.sizeFromShape(tensor.shape);
  }

  private checkBuffers(name: string, program: WebGPUProgram, inputs: TensorInfo[], output: TensorInfo): void {
    const { maxStorageBuffersPerShaderStage, maxStorageBufferBindingSize, maxBufferSize } = this.limits as Limits;
    const buffers = inputs.length + 1;
    if (program.pixelsOpType == null && buffers > maxStorageBuffersPerShaderStage) {
      throw new DeviceError(
        'limit',
        `webgpu ${name}: a kernel may use ${maxStorageBuffersPerShaderStage} storage buffers (maxStorageBuffersPerShaderStage); ` +
          `${inputs.length} inputs and an output take ${buffers}; pass fewer tensors at a time`,
      );
    }
    const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const limitName = limit === maxStorageBufferBindingSize ? 'maxStorageBufferBindingSize' : 'maxBufferSize';
    const named = [...inputs.map((tensor, i) => [`input ${i}`, tensor] as const), ['the output', output] as const];
    for (const [role, tensor] of named) {
      const bytes = this.bytesOf(tensor);
      if (bytes <= limit) continue;
      throw new DeviceError(
        'limit',
        `webgpu ${name}: a tensor must fit into ${byteText(limit)} (${limitName}); ` +
          `${role} ${shapeText(tensor)} takes ${byteText(bytes)}; work on smaller pieces, or choose another backend`,
      );
    }
  }

  private checkDispatch(name: string, program: WebGPUProgram, inputs: TensorInfo[]): void {
    const limits = this.limits as Limits;
    const sizes = inputs.map(shapeText).join(', ');
    const [x, y, z] = program.workgroupSize;
    if (x * y * z > limits.maxComputeInvocationsPerWorkgroup) {
      throw new DeviceError(
        'limit',
        `webgpu ${name}: a workgroup may have ${limits.maxComputeInvocationsPerWorkgroup} invocations (maxComputeInvocationsPerWorkgroup); ` +
          `this kernel has ${x}x${y}x${z} on ${sizes}; choose another backend`,
      );
    }
    const most = limits.maxComputeWorkgroupsPerDimension;
    const { dispatch, dispatchLayout } = program;
    if (dispatch.every((count) => count <= most)) return;
    // TensorFlow.js folds a dispatch along x alone into two or three dimensions.
    const foldable = dispatchLayout.y === undefined && dispatchLayout.z === undefined;
    if (foldable && dispatch[0] > most && Math.ceil(Math.cbrt(dispatch[0])) <= most) return;
    throw new DeviceError(
      'limit',
      `webgpu ${name}: a kernel may start ${most} workgroups per dimension (maxComputeWorkgroupsPerDimension); ` +
        `it needs ${dispatch.join('x')} on ${sizes}; work on smaller pieces, or choose another backend`,
    );
  }
}
