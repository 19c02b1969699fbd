import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import {
  clone,
  gather,
  matMul,
  memory,
  mul,
  reshape,
  scalar,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { conv2d } from '../../../ops/conv2d.ts';
import { linear } from '../../../ops/linear.ts';
import { canPack, isPacked, type PackedValues, packedTensor } from '../../../packed-tensor.ts';
import { selectBackend } from '../../select.ts';
import { programsOf, webgpu } from '../programs/programs.test-support.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const TOLERANCE = 1e-5;

/** A packed weight, and the values that it stands for. */
interface Weight {
  readonly packed: Tensor;
  readonly values: Float32Array<ArrayBuffer>;
}

function halfBits(values: ArrayLike<number>): Uint16Array {
  const view = new DataView(new ArrayBuffer(2 * values.length));
  for (let i = 0; i < values.length; i++) view.setFloat16(2 * i, values[i]!, true);
  return new Uint16Array(view.buffer);
}

function halfWeight(shape: number[]): Weight {
  const bits = halfBits(randomValues(sizeOf(shape), { seed: 5 }));
  const view = new DataView(bits.buffer);
  const values = Float32Array.from({ length: bits.length }, (_, i) => view.getFloat16(2 * i, true));
  return { packed: packedTensor({ kind: 'half', bits }, shape), values };
}

/** Rows [O, inputs] of codes; the value of each by its group. */
function codesOf(outputs: number, inputs: number, bits: 4 | 8, groupSize: number) {
  const groups = Math.ceil(inputs / groupSize);
  const codes = randomValues(outputs * inputs, { seed: 7, low: 0, high: 2 ** bits }).map(Math.floor);
  const [scales, biases] = [8, 9].map((seed) => new Float32Array(randomValues(outputs * groups, { seed })).map((x) => Math.round(x * 64) / 64)); // biome-ignore format: one line
  const value = (o: number, i: number): number => {
    const group = o * groups + Math.floor(i / groupSize);
    return scales![group]! * codes[o * inputs + i]! + biases![group]!;
  };
  return { groups, codes, scales: scales!, biases: biases!, value };
}

function packCodes(codes: ArrayLike<number>, bits: 4 | 8): Uint32Array {
  const perWord = 32 / bits;
  const words = new Uint32Array(Math.ceil(codes.length / perWord));
  for (let i = 0; i < codes.length; i++) words[Math.floor(i / perWord)]! |= codes[i]! << (bits * (i % perWord));
  return words;
}

function rowsWeight([outputs, inputs]: readonly [number, number], bits: 4 | 8, groupSize: number): Weight {
  const { codes, scales, biases, value } = codesOf(outputs, inputs, bits, groupSize);
  const of = { scales: halfBits(scales), biases: halfBits(biases) };
  const packed = { kind: 'affine', layout: 'oi', bits, groupSize, codes: packCodes(codes, bits), ...of } as const;
  const values = Float32Array.from({ length: outputs * inputs }, (_, i) => value(Math.floor(i / inputs), i % inputs));
  return { packed: packedTensor(packed, [outputs, inputs]), values };
}

type Hwio = readonly [number, number, number, number];

function convolutionWeight(shape: Hwio, bits: 4 | 8, groupSize: number): Weight {
  const [height, width, inputs, outputs] = shape;
  const places = height * width;
  const { groups, codes, scales, biases, value } = codesOf(outputs, inputs * places, bits, groupSize);
  // The place of an element in its output's row, as PyTorch counts.
  const inRow = (flat: number): [o: number, i: number] => {
    const row = Math.floor(flat / outputs);
    return [flat % outputs, (row % inputs) * places + Math.floor(row / inputs)];
  };
  const flat = Array.from({ length: sizeOf(shape) }, (_, i) => inRow(i));
  const transposed = (ofGroups: Float32Array): Uint16Array =>
    halfBits(Float32Array.from(ofGroups, (_, i) => ofGroups[(i % outputs) * groups + Math.floor(i / outputs)]!));
  const values: PackedValues = {
    kind: 'affine',
    layout: 'hwio',
    bits,
    groupSize,
    codes: packCodes(
      flat.map(([o, i]) => codes[o * inputs * places + i]!),
      bits,
    ),
    scales: transposed(scales),
    biases: transposed(biases),
  };
  return {
    packed: packedTensor(values, shape),
    values: Float32Array.from(flat, ([o, i]) => value(o, i)),
  };
}

const KINDS = [
  ['half', 16, 1],
  ['8 bits', 8, 32],
  ['8 bits', 8, 64],
  ['4 bits', 4, 32],
  ['4 bits', 4, 128],
] as const;

const rowsOf = (shape: [number, number], bits: 4 | 8 | 16, groupSize: number): Weight =>
  bits === 16 ? halfWeight(shape) : rowsWeight(shape, bits, groupSize);
const convolutionOf = (shape: Hwio, bits: 4 | 8 | 16, groupSize: number): Weight =>
  bits === 16 ? halfWeight([...shape]) : convolutionWeight(shape, bits, groupSize);

const random = (shape: number[], seed = 1): Tensor => tensor(randomValues(sizeOf(shape), { seed }), shape);

describeOnBackends('packed weights', () => {
  it.each(KINDS)('%s (%d in groups of %d): a linear layer reads them', async (_, bits, groupSize) => {
    // Rows of other than whole groups, and of other than whole words of codes.
    const { packed, values } = rowsOf([20, 132], bits, groupSize);
    const [x, bias] = [random([3, 7, 132]), random([20], 2)];
    const out = linear(x, packed as Tensor2D, bias as never);
    await expectClose(out, await linear(x, tensor2d(values, [20, 132]), bias as never).data(), {
      relative: TOLERANCE,
    });
    const names = programsOf(() => tidy(() => linear(x, packed as Tensor2D)));
    expect(names.map((name) => name.split('_')[1])).toEqual(['product']);
  });

  it.each(KINDS)('%s (%d in groups of %d): a convolution reads them', async (_, bits, groupSize) => {
    for (const [kernel, options] of [
      [3, { padding: 1 }],
      [2, { stride: 2 }],
      [1, {}],
    ] as const) {
      const shape = [kernel, kernel, 20, 12] as const;
      const { packed, values } = convolutionOf(shape, bits, groupSize);
      const [x, bias] = [random([2, 6, 5, 20]) as Tensor4D, random([12], 2)];
      const out = conv2d(x, packed as Tensor4D, { ...options, bias: bias as never });
      const expected = conv2d(x, tensor(values, [...shape]) as Tensor4D, { ...options, bias: bias as never });
      await expectClose(out, await expected.data(), { relative: TOLERANCE });
      const names = programsOf(() => tidy(() => conv2d(x, packed as Tensor4D, options)));
      expect(names.map((name) => name.split('_')[1])).not.toContain('expand');
    }
  });

  it.each(KINDS)('%s (%d in groups of %d): are read back, and go through other kernels', async (_, bits, groupSize) => {
    for (const { packed, values } of [
      rowsOf([12, 36], bits, groupSize),
      convolutionOf([3, 2, 8, 12], bits, groupSize),
    ]) {
      await expectClose(packed, values, { relative: 1e-6 });
      await expectClose(
        mul(packed, 2),
        values.map((value) => 2 * value),
        { relative: 1e-6 },
      );
      await expectClose(reshape(packed, [-1]), values, { relative: 1e-6 });
    }
    const { packed, values } = rowsOf([12, 36], bits, groupSize);
    await expectClose(transpose(packed), await transpose(tensor2d(values, [12, 36])).data(), { relative: 1e-6 });
    // The other way round no group fits, and the product gets a copy.
    const x = random([5, 12]) as Tensor2D;
    const plain = matMul(x, tensor2d(values, [12, 36]));
    await expectClose(matMul(x, packed as Tensor2D), await plain.data(), { relative: TOLERANCE });
  });

  it.each(KINDS)('%s (%d in groups of %d): rows of a table are read alone', async (_, bits, groupSize) => {
    const { packed, values } = rowsOf([12, 36], bits, groupSize);
    // Computed there: what the host has is checked before.
    const ids = mul(tensor2d([3, 0, 11, 12, 3, -1], [2, 3], 'int32'), scalar(1, 'int32'));
    const rows = gather(packed, ids);
    expect(rows.shape).toEqual([2, 3, 36]);
    await expectClose(rows, await gather(tensor2d(values, [12, 36]), ids).data(), { relative: 1e-6 });
    expect(programsOf(() => tidy(() => gather(packed, ids)))).toEqual([expect.stringContaining('rass_rows')]);
  });

  it('take the memory that they are stored in', async () => {
    webgpu().trim();
    const before = webgpu().pool.numBytesUsed;
    const { packed } = rowsWeight([64, 128], 4, 32);
    const x = random([1, 128]);
    await linear(x, packed as Tensor2D).data();
    // Codes, and a word for each group; x and the result beside them.
    webgpu().trim();
    expect(webgpu().pool.numBytesUsed - before).toBe((64 * 128) / 2 + 4 * 64 * 4 + 4 * 128 + 4 * 64);
    packed.dispose();
    webgpu().trim();
    expect(webgpu().pool.numBytesUsed - before).toBe(4 * 128 + 4 * 64);
  });

  it('leave no copy behind, and are shared by clones', async () => {
    await expectNoLeaks(async () => {
      const { packed, values } = rowsWeight([8, 32], 8, 32);
      const shared = clone(packed);
      packed.dispose();
      expect(isPacked(shared)).toBe(true);
      const before = webgpu().numDataIds();
      await expectClose(shared, values, { relative: 1e-6 });
      mul(shared, 2).dispose();
      webgpu().trim();
      expect(webgpu().numDataIds()).toBe(before);
      shared.dispose();
      webgpu().trim();
      expect(webgpu().numDataIds()).toBe(before - 2);
    });
  });

  it('are on the GPU at once, and stay with others where they fit into no buffer', async () => {
    webgpu().trim();
    const before = webgpu().pool.numBytesUsed;
    const { packed } = halfWeight([16, 16]);
    expect(webgpu().pool.numBytesUsed - before).toBe(2 * 256);
    packed.dispose();
    await selectBackend('webgpu', { webgpu: { limits: { maxStorageBufferBindingSize: 4096 } } });
    expect([canPack('half', [32, 64]), canPack('half', [32, 68]), canPack('affine', [32, 68])]).toEqual([
      true,
      false,
      true,
    ]);
    await selectBackend('webgpu');
  });

  it('are those of their shape', () => {
    const zeros = (count: number): Uint16Array => new Uint16Array(count);
    const rows = { kind: 'affine', layout: 'oi', bits: 4, groupSize: 32, codes: new Uint32Array(32), scales: zeros(8), biases: zeros(8) } as const; // biome-ignore format: one line
    const refused: [PackedValues, number[], string][] = [
      [{ kind: 'half', bits: zeros(95) }, [8, 12], 'there is a number for each value; got 95 for [8, 12]'],
      [{ ...rows, scales: zeros(7) }, [8, 32], '[8, 32] has 8 groups of 32; got 7 scales and 8 biases'],
      [{ ...rows, codes: new Uint32Array(31) }, [8, 32], '[8, 32] has 32 words of codes; got 31'],
      [{ ...rows, groupSize: 6 }, [8, 32], 'groups are of whole vectors of four; got 6'],
      [rows, [2, 4, 4, 8], 'oi has two axes, and hwio four; got oi of [2, 4, 4, 8]'],
      [{ ...rows, layout: 'hwio' }, [8, 32], 'oi has two axes, and hwio four; got hwio of [8, 32]'],
    ];
    for (const [values, shape, message] of refused) expect(() => packedTensor(values, shape)).toThrow(message);
    packedTensor(rows, [8, 32]).dispose();
  });

  it('go through kernels that would compute small tensors on the CPU', async () => {
    await selectBackend('webgpu', { webgpu: { cpuForward: true } });
    const { packed, values } = rowsWeight([8, 32], 4, 32);
    await expectClose(mul(packed, 2), values.map((value) => 2 * value), { relative: 1e-6 }); // biome-ignore format: one line
    await selectBackend('webgpu');
  });

  it('are not made of what is no whole vectors', () => {
    expect(canPack('half', [8, 12])).toBe(true);
    expect(canPack('half', [3, 3, 8, 4])).toBe(true);
    for (const shape of [[8], [8, 6], [6, 8], [3, 3, 4, 3], [0, 4], [2, 4, 4]])
      expect(canPack('half', shape)).toBe(false);
    const before = memory().numTensors;
    expect(() => packedTensor({ kind: 'half', bits: new Uint16Array(48) }, [8, 6])).toThrow(
      'packedTensor: the backend keeps a weight of whole vectors packed; got [8, 6] on webgpu; ask canPack first',
    );
    expect(memory().numTensors).toBe(before);
    webgpu().fused = false;
    expect(canPack('half', [8, 12])).toBe(false);
    webgpu().fused = true;
  });
}, ['webgpu']);

describeOnBackends('packed weights elsewhere', () => {
  it('are none', () => {
    expect(canPack('half', [8, 12])).toBe(false);
    expect(isPacked(random([4]))).toBe(false);
  });
}, ['cpu', 'wasm', 'native']);
