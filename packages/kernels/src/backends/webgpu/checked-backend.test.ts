import {
  add,
  addN,
  backend,
  dispose,
  engine,
  fill,
  gather,
  keep,
  matMul,
  memory,
  mul,
  slice,
  sqrt,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { trimBackendMemory } from '../memory.ts';
import { selectBackend } from '../select.ts';
import type { CheckedWebGPUBackend } from './checked-backend.ts';

const MIB = 2 ** 20;
const device = () => (backend() as CheckedWebGPUBackend).device;

/** A tensor whose values are on the GPU, where a limit can meet them. */
function onGpu(tensor: Tensor): Tensor {
  return tidy(() => add(tensor, 0));
}

/** Destroys the buffer under a tensor, as a bad driver or foreign code might: the next command with it is invalid. */
function breakTensor(tensor: Tensor): void {
  const { resource } = (backend() as CheckedWebGPUBackend).tensorMap.get(tensor.dataId);
  (resource as GPUBuffer).destroy();
}

/** Adds single numbers in one shader, however many there are. */
class SumProgram {
  readonly variableNames: string[];
  readonly outputShape = [1];
  readonly dispatchLayout = { x: [0] };
  readonly dispatch: [number, number, number] = [1, 1, 1];
  readonly workgroupSize: [number, number, number] = [1, 1, 1];
  readonly size = true;
  shaderKey: string;

  constructor(terms: number) {
    this.variableNames = Array.from({ length: terms }, (_, i) => `T${i}`);
    this.shaderKey = `sum_${terms}`;
  }

  getUserCode(): string {
    const total = this.variableNames.map((name) => `${name}[0]`).join(' + ');
    return `fn main(index : i32) { if (index < uniforms.size) { result[index] = ${total}; } }`;
  }
}

function runSum(terms: Tensor[]): Tensor {
  const info = (backend() as CheckedWebGPUBackend).runWebGPUProgram(new SumProgram(terms.length), terms, 'float32');
  return engine().makeTensorFromTensorInfo(info);
}

async function messageOfFailure(action: () => Promise<unknown> | unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    expect(error).toMatchObject({ name: 'DeviceError' });
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

describe.skipIf(!inject('backends').includes('webgpu'))('webgpu: nothing fails in silence', () => {
  beforeEach(() => engine().startScope());
  afterEach(() => engine().endScope());

  describe('limits of the device', () => {
    it('gives the device all that the adapter has, above the defaults of the specification', async () => {
      const info = await selectBackend('webgpu');
      expect(info.capabilities.limits).toEqual(
        expect.objectContaining({ maxBufferSize: device().limits.maxBufferSize }),
      );
      expect(info.capabilities.maxTensorBytes).toBeGreaterThan(128 * MIB);
      expect(device().limits.maxStorageBuffersPerShaderStage).toBeGreaterThan(8);
    });

    it('refuses a gather from a table over the default binding size, by name and sizes', async () => {
      await selectBackend('webgpu', { webgpu: { limits: { maxStorageBufferBindingSize: 128 * MIB } } });
      const table_VD = zeros([49408, 1024]);
      expect(await messageOfFailure(() => gather(table_VD, tensor1d([1, 2], 'int32')))).toBe(
        'webgpu GatherV2: a tensor must fit into 128 MiB (maxStorageBufferBindingSize); ' +
          'input 0 [1,1,49408,1024] float32 takes 193 MiB; work on smaller pieces, or choose another backend',
      );
    });

    it('refuses an output over the binding size before it is computed', async () => {
      await selectBackend('webgpu', { webgpu: { limits: { maxStorageBufferBindingSize: 4096 } } });
      const a_MK = onGpu(zeros([64, 2]));
      const before = memory().numTensors;
      expect(await messageOfFailure(() => matMul(a_MK, a_MK, false, true))).toBe(
        'webgpu BatchMatMul: a tensor must fit into 4 KiB (maxStorageBufferBindingSize); ' +
          'the output [1,64,64] float32 takes 16 KiB; work on smaller pieces, or choose another backend',
      );
      expect(memory().numTensors).toBe(before);
    });

    it('refuses more storage buffers than a shader may have', async () => {
      await selectBackend('webgpu', { webgpu: { limits: { maxStorageBuffersPerShaderStage: 8 } } });
      const terms = Array.from({ length: 8 }, (_, i) => onGpu(tensor1d([i])));
      expect(await messageOfFailure(() => runSum(terms))).toBe(
        'webgpu SumProgram: a kernel may use 8 storage buffers (maxStorageBuffersPerShaderStage); ' +
          '8 inputs and an output take 9; pass fewer tensors at a time',
      );
      expect([...(await runSum(terms.slice(0, 7)).data())]).toEqual([21]);
      expect([...(await addN(terms).data())]).toEqual([28]);
    });

    it('refuses a dispatch with too many workgroups', async () => {
      await selectBackend('webgpu', { webgpu: { limits: { maxComputeWorkgroupsPerDimension: 4 } } });
      const a_BMK = onGpu(zeros([5, 2, 2]));
      expect(await messageOfFailure(() => matMul(a_BMK, a_BMK))).toMatch(
        /^webgpu BatchMatMul: a kernel may start 4 workgroups per dimension \(maxComputeWorkgroupsPerDimension\); it needs \d+x\d+x5 on \[5,2,2\] float32, \[5,2,2\] float32; /,
      );
    });

    it('refuses a buffer over the largest size', async () => {
      await selectBackend('webgpu', { webgpu: { limits: { maxBufferSize: 1024 } } });
      expect(await messageOfFailure(() => onGpu(zeros([512])))).toBe(
        'webgpu Add: a tensor must fit into 1 KiB (maxBufferSize); input 0 [512] float32 takes 2 KiB; ' +
          'work on smaller pieces, or choose another backend',
      );
    });

    it('refuses a limit that the adapter does not have', async () => {
      const asked = { webgpu: { limits: { maxBufferSize: 2 ** 52 } } };
      await expect(selectBackend('webgpu', asked)).rejects.toThrow(
        /^webgpu backend: the adapter must grant a device; it said ".*"; /,
      );
      const misspelt = { webgpu: { limits: { maxBufferSizes: 1 } } };
      await expect(selectBackend('webgpu', misspelt)).rejects.toThrow(
        /^webgpu backend: the option limits must name limits of WebGPU; got "maxBufferSizes"; the names are /,
      );
    });
  });

  describe('errors that the device reports later', () => {
    it('throws at the read after a failed command, naming the ops', async () => {
      await selectBackend('webgpu');
      const x = onGpu(tensor1d([4, 9]));
      breakTensor(x);
      const root = sqrt(x);
      expect(await messageOfFailure(() => root.data())).toMatch(
        /^webgpu: the device must accept every command; among Add, Sqrt it reported ".*destroyed.*", so the tensors computed since the last read are void; /,
      );
    });

    it('voids every tensor of the failed batch and what is computed from it, not what came before or after', async () => {
      await selectBackend('webgpu');
      const earlier = mul(onGpu(tensor1d([1, 2])), 2);
      await earlier.data();
      const before = onGpu(tensor1d([5, 6]));
      expect([...(await onGpu(before).data())]).toEqual([5, 6]);

      const broken = onGpu(tensor1d([1]));
      const bystander = onGpu(tensor1d([7]));
      breakTensor(broken);
      const bad = sqrt(broken);
      await messageOfFailure(() => bad.data());
      expect(await messageOfFailure(() => bystander.data())).toContain('are void');
      expect(await messageOfFailure(() => mul(bystander, 2))).toContain('are void');

      expect([...(await mul(before, 2).data())]).toEqual([10, 12]);
      expect([...(await mul(onGpu(tensor1d([3])), 2).data())]).toEqual([6]);
    });

    it('throws for each of several reads at once', async () => {
      await selectBackend('webgpu');
      const broken = onGpu(tensor1d([1]));
      const bystander = onGpu(tensor1d([7]));
      breakTensor(broken);
      const bad = sqrt(broken);
      const results = await Promise.allSettled([bad.data(), bystander.data(), bad.data()]);
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    });

    it('throws when GPU memory runs out, and works on after tensors were disposed of', async () => {
      await selectBackend('webgpu');
      const small = keep(onGpu(tensor1d([1, 2])));
      await small.data();
      const huge: Tensor[] = [];
      const exhaust = async () => {
        for (let i = 0; i < 64; i++) {
          const elements = Math.floor(device().limits.maxStorageBufferBindingSize / 4);
          huge.push(fill([elements], 1));
          await tidy(() => mul(slice(huge.at(-1)!, [0], [4]), 2)).data();
        }
      };
      const text = await messageOfFailure(exhaust);
      expect(text).toMatch(
        /^webgpu: tensors must fit into the GPU memory; among Fill, .*it reported ".*", so the tensors/,
      );
      expect(text).toContain('dispose of tensors');
      dispose(huge);
      expect([...(await add(small, 1).data())]).toEqual([2, 3]);
      dispose(small);
    });

    it('throws after the device was lost, until the backend is selected again', async () => {
      await selectBackend('webgpu');
      const x = onGpu(tensor1d([1]));
      device().destroy();
      await device().lost;
      expect(await messageOfFailure(() => x.data())).toMatch(
        /^webgpu: the device must stay; it was lost \(destroyed: .*\); select the backend again$/,
      );
      expect(await messageOfFailure(() => add(x, 1))).toContain('it was lost');
      await selectBackend('webgpu');
      expect([...(await onGpu(tensor1d([3])).data())]).toEqual([3]);
    });

    it('throws for the loss where a read fails of it before it is told', async () => {
      await selectBackend('webgpu');
      const x = onGpu(tensor1d([1]));
      const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
      const copying = vi.spyOn(WebGPUBackend.prototype, 'getBufferData').mockImplementationOnce(async () => {
        // By now the device has answered for what was computed.
        await new Promise((resolve) => setTimeout(resolve, 100));
        device().destroy();
        throw new DOMException('Buffer was unmapped before mapping was resolved.', 'AbortError');
      });
      expect(await messageOfFailure(() => x.data())).toContain('webgpu: the device must stay; it was lost (destroyed');
      copying.mockRestore();
      await selectBackend('webgpu');
    });

    it('refuses a synchronous read of a tensor on the GPU', async () => {
      await selectBackend('webgpu');
      const x = onGpu(tensor1d([1]));
      expect(await messageOfFailure(() => x.dataSync())).toMatch(
        /^webgpu: a synchronous read cannot tell whether .*; use `await tensor.data\(\)`/,
      );
      await x.data();
      expect([...x.dataSync()]).toEqual([1]);
    });

    it('says of a tensor that was left on the GPU to read it before switching backends', async () => {
      await selectBackend('webgpu');
      const [left, read] = [onGpu(tensor1d([1])), onGpu(tensor1d([2]))];
      await read.data();
      await selectBackend('cpu');
      expect(await messageOfFailure(() => add(left, 1))).toMatch(
        /^webgpu: a tensor that lives on the GPU .*; got one, while the backend is cpu; before switching, read it/,
      );
      expect([...(await add(read, 1).data())]).toEqual([3]);
      await selectBackend('webgpu');
    });
  });

  describe('memory', () => {
    it('gives freed buffers back beyond the cap, and all of them on request', async () => {
      await selectBackend('webgpu', { webgpu: { poolBytes: 256 * 1024 } });
      const allocated = () => (memory() as unknown as { numBytesAllocatedInGPU: number }).numBytesAllocatedInGPU;
      for (let i = 1; i <= 40; i++) {
        const y = tidy(() => mul(zeros([i * 1024]), 2));
        await y.data();
        y.dispose();
      }
      expect(allocated()).toBeLessThanOrEqual(256 * 1024);
      expect(trimBackendMemory()).toBeGreaterThan(0);
      expect(allocated()).toBe(0);
      const y = mul(tensor2d([[1, 2]]), 2);
      expect([...(await y.data())]).toEqual([2, 4]);
    });

    it('uses a freed buffer again for a tensor of the same size', async () => {
      await selectBackend('webgpu', { webgpu: { poolBytes: 2 ** 30 } });
      const { pool } = backend() as CheckedWebGPUBackend;
      const step = async () => {
        const y = tidy(() => mul(fill([1000], 3), 2));
        await y.data();
        y.dispose();
      };
      await step();
      const allocated = pool.numBytesAllocated;
      for (let i = 0; i < 5; i++) await step();
      expect(pool.numBytesAllocated).toBe(allocated);
      expect(pool.numBytesUsed).toBe(0);
    });
  });

  it('runs small tensors on the GPU too, unless told otherwise', async () => {
    await selectBackend('webgpu');
    const isOnGpu = (tensor: Tensor) =>
      (backend() as CheckedWebGPUBackend).tensorMap.get(tensor.dataId).resource != null;
    expect(isOnGpu(add(tensor1d([1]), tensor1d([2])))).toBe(true);
    await selectBackend('webgpu', { webgpu: { cpuForward: true } });
    expect(isOnGpu(add(tensor1d([1]), tensor1d([2])))).toBe(false);
  });
});
