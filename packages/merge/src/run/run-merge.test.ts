import { randomValues } from '@rass/testkit';
import { memorySink, readFloat32, startSafetensors } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeInMemory, planInMemory, runInMemory, type TestModel, type TestTensor } from '../models.test-support.ts';
import { BufferPool } from './buffer-pool.ts';
import { type MergeProgress, runMerge } from './run-merge.ts';

const LINEAR = `
merge_method: linear
models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 3}}]
`;
const vector = (...values: number[]): TestTensor => ({ shape: [values.length], values });
const half = (...values: number[]): TestTensor => ({ ...vector(...values), dtype: 'F16' });

describe('merging', () => {
  it('computes in float32 and writes the type of the first model, or the one asked for', async () => {
    const models = { a: { x: half(1, 3), y: vector(1) }, b: { x: vector(2, 3.5), y: half(5) } };
    const merged = await mergeInMemory(LINEAR, models);
    expect(merged.info('x').dtype).toBe('F16');
    expect(merged.info('y').dtype).toBe('F32');
    expect(await readFloat32(merged, 'x')).toEqual(Float32Array.of(1.75, 3.375));
    const brain = await mergeInMemory(`${LINEAR}out_dtype: bfloat16`, models);
    expect([brain.info('x').dtype, brain.info('y').dtype]).toEqual(['BF16', 'BF16']);
    expect(await readFloat32(brain, 'y')).toEqual(Float32Array.of(4));
  });

  it('takes a large tensor in slices, and gives the same', async () => {
    const size = (4 << 20) + 1001;
    const [a, b] = [randomValues(size, { seed: 1 }), randomValues(size, { seed: 2 })];
    const tensors = (values: Float32Array): TestModel => ({ x: { shape: [size], values }, small: vector(values[0]) });
    const seen: MergeProgress[] = [];
    const plan = await planInMemory(LINEAR, { a: tensors(a), b: tensors(b) });
    const merged = await runInMemory(plan, { onProgress: (progress) => seen.push(progress) });
    expect(await readFloat32(merged, 'x')).toEqual(a.map((value, i) => 0.25 * value + 0.75 * b[i]));
    expect(seen.map(({ key }) => key)).toEqual(['small', 'x', 'x']);
    expect(seen.at(-1)).toMatchObject({ written: 4 * size + 4, total: 4 * size + 4 });
  });

  it('copies whole numbers that are the same in all, and refuses others', async () => {
    const ids = (...values: number[]): TestModel => ({ ids: { shape: [2], values, dtype: 'I64' }, x: vector(1) });
    const merged = await mergeInMemory(LINEAR, { a: ids(3, 4), b: ids(3, 4) });
    expect((await merged.read('ids')).data).toEqual(BigInt64Array.of(3n, 4n));
    await expect(mergeInMemory(LINEAR, { a: ids(3, 4), b: ids(3, 5) })).rejects.toThrow(
      'merge: "ids": a tensor of I64 is copied, and the same in all models; got a and b, which differ; only floating-point tensors are merged',
    );
  });

  it('takes tensors without a value, and scalars', async () => {
    const model = (value: number): TestModel => ({
      none: { shape: [0, 3], values: [] },
      scalar: { shape: [], values: [value] },
    });
    const merged = await mergeInMemory(LINEAR, { a: model(1), b: model(5) });
    expect(merged.info('none').shape).toEqual([0, 3]);
    expect(await readFloat32(merged, 'scalar')).toEqual(Float32Array.of(4));
  });
});

describe('values that are not finite', () => {
  const bad = { a: { x: vector(1, Number.NaN), y: vector(1) }, b: { x: vector(1, 1), y: vector(1) } };

  it('are refused by name, unless the name is allowed', async () => {
    const text = 'merge: a: weights are finite; got NaN at 1 of "x"; mend the file, or allow the tensor by name';
    await expect(mergeInMemory(LINEAR, bad)).rejects.toThrow(text);
    await expect(runInMemory(await planInMemory(LINEAR, bad), { allowNonFinite: ['y', /^z/] })).rejects.toThrow(text);
    const merged = await runInMemory(await planInMemory(LINEAR, bad), { allowNonFinite: [/^x$/] });
    expect(await readFloat32(merged, 'x')).toEqual(Float32Array.of(1, Number.NaN));
  });

  it('are not made by a type that is too small', async () => {
    const large = { a: { x: vector(1, 1e5) }, b: { x: vector(1, 1e5) } };
    await expect(mergeInMemory(`${LINEAR}out_dtype: float16`, large)).rejects.toThrow(
      'merge: "x": merged values fit F16; got one that is beyond it at 1; set out_dtype: float32 or bfloat16, or allow the tensor by name',
    );
    const huge = { a: { x: vector(3e38) }, b: { x: vector(3e38) } };
    const sum = `${LINEAR}parameters: {normalize: false}`;
    await expect(mergeInMemory(sum, huge)).rejects.toThrow(
      'merged values fit F32; got one that is beyond it at 0; choose other parameters',
    );
    const grown = await runInMemory(await planInMemory(sum, huge), { allowNonFinite: ['x'] });
    expect(await readFloat32(grown, 'x')).toEqual(Float32Array.of(Number.POSITIVE_INFINITY));
  });
});

describe('a merge that ends early', () => {
  const models = Object.fromEntries(
    ['a', 'b'].map((name) => [name, Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`t${i}`, vector(i, i)]))]),
  );

  it('stops when it is told to, with the reason given', async () => {
    const controller = new AbortController();
    const plan = await planInMemory(LINEAR, models);
    const onProgress = ({ key }: MergeProgress) => {
      if (key === 't3') controller.abort(new Error('enough'));
    };
    await expect(runInMemory(plan, { signal: controller.signal, onProgress })).rejects.toThrow('enough');
    await plan.close();
  });

  it('fails with what the writer says, whichever write it is', async () => {
    for (let failing = 1; failing <= 9; failing++) {
      const plan = await planInMemory(LINEAR, models);
      let writes = 0;
      let open = 0;
      const sink = memorySink();
      const full: typeof sink = {
        ...sink,
        async writeAt(position, bytes) {
          open++;
          try {
            if (writes++ === failing) throw new Error('no space left on device');
            await sink.writeAt(position, bytes);
          } finally {
            open--;
          }
        },
      };
      const writer = await startSafetensors(full, plan.specs);
      await expect(runMerge(plan, writer)).rejects.toThrow('no space left on device');
      expect(open, 'writes still under way').toBe(0);
      await plan.close();
    }
  });
});

it('a pool lends what was given back, and grows by what is too small', () => {
  const pool = new BufferPool();
  const [a, b] = [pool.take(10), pool.take(4)];
  expect(pool.bytes).toBe(56);
  pool.give(a);
  pool.give(b);
  const again = pool.take(3);
  expect([again.buffer === b.buffer, again.length]).toEqual([true, 3]);
  pool.give(again);
  const larger = pool.take(20);
  expect([larger.length, pool.bytes]).toEqual([20, 96]);
});
