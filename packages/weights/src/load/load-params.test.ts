import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Conv2d,
  conv2d,
  disposeParams,
  type GroupNorm,
  type Linear,
  type Parameter,
  type ParamSource,
  randomParams,
} from '@rass/nn';
import {
  describeOnBackends,
  expectClose,
  expectNoLeaks,
  pythonExecutable,
  randomValues,
  runPython,
} from '@rass/testkit';
import { memory, scalar, type Tensor, type Tensor1D, tensor, tidy } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint.ts';
import { fromFloat32 } from '../dtype/encode.ts';
import { contentsOf, fixturePath } from '../fixtures.test-support.ts';
import { createSafetensors, openCheckpoint } from '../node.ts';
import { openSafetensors } from '../safetensors/read.ts';
import { encodeSafetensors, startSafetensors, type TensorToWrite } from '../safetensors/write.ts';
import { memorySink } from '../sink/byte-sink.ts';
import { bufferSource } from '../source/byte-source.ts';
import { toHwio, toOihw } from './layout.ts';
import { type LoadProgress, loadParams } from './load-params.ts';
import { LoadError } from './report.ts';
import { paramSpecs, saveParams } from './save-params.ts';

interface Tiny {
  conv: Conv2d;
  norm: GroupNorm;
  head: Linear;
  scale: Parameter<Tensor1D>;
}

function tinyParams(from: ParamSource): Tiny {
  return {
    conv: from.at('conv').conv2d(2, 3, { kernel: 3, padding: 1 }),
    norm: from.at('norm').groupNorm(3, { groups: 1 }),
    head: from.at('head').linear(3, 4, { bias: false }),
    scale: from.at('scale').parameter<Tensor1D>([2], { kind: 'constant', value: 1 }),
  };
}

const f32 = (shape: number[], seed: number): TensorToWrite => {
  const count = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'F32', shape, data: randomValues(count, { seed }) };
};

const whole: Record<string, TensorToWrite> = {
  'conv.weight': f32([3, 2, 3, 3], 1),
  'conv.bias': f32([3], 2),
  'norm.weight': f32([3], 3),
  'norm.bias': f32([3], 4),
  'head.weight': f32([4, 3], 5),
  scale: { dtype: 'BF16', shape: [2], data: fromFloat32(Float32Array.of(1.5, -2), 'BF16') },
};

const open = async (tensors: Record<string, TensorToWrite>, name = 'tiny.safetensors'): Promise<Checkpoint> =>
  openSafetensors(bufferSource(await encodeSafetensors(tensors), name));

const without = (...keys: string[]) => Object.fromEntries(Object.entries(whole).filter(([key]) => !keys.includes(key)));

describe('layouts', () => {
  it('of convolutions, by hand: 2 outputs, 1 input, 1 x 3', () => {
    const oihw = Float32Array.of(1, 2, 3, 10, 20, 30);
    expect(toHwio(oihw, [2, 1, 1, 3])).toEqual(Float32Array.of(1, 10, 2, 20, 3, 30));
  });

  it('there and back are the same numbers', () => {
    const values = randomValues(5 * 4 * 3 * 2, { seed: 8 });
    expect(toOihw(toHwio(values, [5, 4, 3, 2]), [3, 2, 4, 5])).toEqual(values);
  });
});

describeOnBackends('loadParams', () => {
  it('reads every tensor once, lays it out and says what came of each key', async () => {
    const checkpoint = await open(whole);
    const reads: string[] = [];
    const progress: LoadProgress[] = [];
    const counted: Checkpoint = {
      ...checkpoint,
      read(key, options) {
        reads.push(key);
        return checkpoint.read(key, options);
      },
    };
    const { params, report } = await loadParams(counted, tinyParams, { onProgress: (p) => progress.push(p) });
    expect(reads).toEqual(checkpoint.keys());
    expect(params.conv.weight.shape).toEqual([3, 3, 2, 3]);
    await expectClose(params.conv.weight, toHwio(whole['conv.weight'].data as never, [3, 2, 3, 3]), { relative: 0 });
    await expectClose(params.head.weight, whole['head.weight'].data as never, { relative: 0 });
    await expectClose(params.scale.value, [1.5, -2], { relative: 0 });
    expect(report).toMatchObject({ missing: [], unused: [], wrongShape: [], nonFinite: [], parameters: 77 });
    expect(report.used).toEqual(checkpoint.keys());
    expect(String(report)).toBe('tiny.safetensors: 6 of 6 tensors loaded, 77 parameters');
    expect(progress.at(-1)).toEqual({
      key: reads.at(-1),
      loaded: 6,
      total: 6,
      parametersLoaded: 77,
      parametersTotal: 77,
    });
    disposeParams(params);
  });

  it('convolves as PyTorch does with the weights of a PyTorch file', async () => {
    const values = randomValues(2 * 2 * 1 * 2, { seed: 3 });
    const checkpoint = await open({ weight: { dtype: 'F32', shape: [2, 1, 2, 2], data: values } });
    const { params } = await loadParams(checkpoint, (from) => from.conv2d(1, 2, { kernel: 2, bias: false }));
    const out = tidy(() => conv2d(params, tensor([1, 2, 3, 4], [1, 2, 2, 1])));
    // Cross-correlation of [[1, 2], [3, 4]] with each output's own kernel.
    const expected = [0, 4].map((o) => values[o] + 2 * values[o + 1] + 3 * values[o + 2] + 4 * values[o + 3]);
    await expectClose(out, expected);
    out.dispose();
    disposeParams(params);
  });

  it('saves what it loaded, in any type, and loads it again', async () => {
    const { params } = await loadParams(await open(whole), tinyParams);
    const before = memory().numTensors;
    for (const dtype of ['F32', 'F16'] as const) {
      const sink = memorySink();
      await saveParams(params, await startSafetensors(sink, paramSpecs(params, { dtype, prefix: 'm.' })), {
        prefix: 'm.',
      });
      const saved = await openSafetensors(bufferSource(sink.bytes()));
      expect(saved.keys().sort()).toEqual(
        Object.keys(whole)
          .map((key) => `m.${key}`)
          .sort(),
      );
      expect(saved.info('m.conv.weight')).toEqual({ dtype, shape: [3, 2, 3, 3] });
      const again = await loadParams(saved, (from) => tinyParams(from.at('m')));
      await expectClose(again.params.conv.weight, params.conv.weight, { relative: dtype === 'F32' ? 0 : 1e-3 });
      disposeParams(again.params);
    }
    expect(memory().numTensors).toBe(before);
    disposeParams(params);
  });

  it('keeps nothing when it fails or is stopped', async () => {
    const bad: TensorToWrite = { dtype: 'F32', shape: [4, 3], data: new Float32Array(12).fill(Number.NaN) };
    const checkpoint = await open({ ...whole, 'head.weight': bad });
    const stop = new AbortController();
    const before = memory().numTensors;
    await expect(loadParams(checkpoint, tinyParams)).rejects.toBeInstanceOf(LoadError);
    const stopped = loadParams(checkpoint, tinyParams, {
      signal: stop.signal,
      onProgress: ({ loaded }) => {
        if (loaded === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    expect(memory().numTensors).toBe(before);
    await expectNoLeaks(async () => {
      disposeParams((await loadParams(await open(whole), tinyParams)).params);
    });
  });
});

const failure = async (tensors: Record<string, TensorToWrite>, options = {}): Promise<LoadError> => {
  const loaded = loadParams(await open(tensors), tinyParams, options);
  const error = await loaded.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LoadError);
  return error as LoadError;
};

describeOnBackends('what does not fit', () => {
  it('is refused before a tensor is read, and told in full', async () => {
    const tensors = {
      ...without('conv.weight', 'head.weight', 'scale'),
      'conv.wieght': f32([3, 2, 3, 3], 1),
      'head.weight': f32([4, 4], 2),
    };
    const error = await failure(tensors);
    expect(error.message).toBe(
      [
        'loadParams: a checkpoint and a model fit; got 2 missing, 1 of wrong shape, 1 unused; ' +
          'name what may be so in allowMissing, allowWrongShape, allowUnused',
        'tiny.safetensors: 3 of 6 tensors loaded, 9 parameters',
        'missing (2):',
        '  conv.weight [3, 2, 3, 3]; did you mean conv.wieght?',
        '  scale [2]',
        'wrong shape (1):',
        '  head.weight: expected [4, 3], found [4, 4]',
        'unused (1):',
        '  conv.wieght',
      ].join('\n'),
    );
    expect(error.rule).toBe('LoadMismatch');
    expect(error.report.missing[0]).toEqual({ key: 'conv.weight', shape: [3, 2, 3, 3], closest: ['conv.wieght'] });
  });

  it('is loaded where it is allowed by name, and is in the report', async () => {
    const tensors = {
      ...without('scale', 'norm.bias'),
      'head.weight': f32([9, 3], 2),
      extra: f32([1], 1),
      'ema.x': f32([1], 1),
    };
    const { params, report } = await loadParams(await open(tensors), tinyParams, {
      allowMissing: ['scale', /^norm\./],
      allowWrongShape: ['head.weight'],
      allowUnused: ['extra', /^ema\./g],
      seed: 7,
    });
    expect(report.missing.map(({ key }) => key)).toEqual(['norm.bias', 'scale']);
    expect(report.wrongShape).toEqual([{ key: 'head.weight', expected: [4, 3], found: [9, 3] }]);
    expect(report.unused).toEqual(['ema.x', 'extra']);
    expect(await params.scale.value.data()).toEqual(Float32Array.of(1, 1));
    const untrained = tinyParams(randomParams(7));
    await expectClose(params.head.weight, untrained.head.weight, { relative: 0 });
    disposeParams(untrained);
    disposeParams(params);
  });

  it('is an error still when another name is allowed', async () => {
    const { message } = await failure(without('scale', 'norm.bias'), { allowMissing: ['scale'] });
    expect(message).toContain('got 1 missing; name what may be so in allowMissing');
    expect(message).toContain('missing (1):\n  norm.bias [3]');
    const told = await failure(without('norm.bias'), { remedy: 'give the whole file' });
    expect(told.message).toContain('got 1 missing; give the whole file\n');
    expect((await failure({ ...whole, a: f32([1], 1) }, { allowUnused: ['b'] })).message).toContain('got 1 unused');
  });

  it('is a weight that is not finite', async () => {
    const bad: TensorToWrite = { dtype: 'F16', shape: [3], data: Uint16Array.of(0x7c00, 0, 0x7e00) };
    const { message, report } = await failure({ ...whole, 'norm.bias': bad });
    expect(message).toContain('got 1 not finite; name what may be so in allowNonFinite');
    expect(message).toContain('not finite (1):\n  norm.bias: 2 values');
    expect(report.nonFinite).toEqual([{ key: 'norm.bias', count: 2 }]);
    const checkpoint = await open({ ...whole, 'norm.bias': bad });
    const loaded = await loadParams(checkpoint, tinyParams, { allowNonFinite: ['norm.bias'] });
    expect(loaded.report.nonFinite).toHaveLength(1);
    disposeParams(loaded.params);
  });

  it('is listed up to twenty times', async () => {
    const many = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`extra.${i}`, f32([1], i)]));
    const { message } = await failure({ ...whole, ...many });
    expect(message).toContain('unused (25):');
    expect(message).toContain('and 5 more');
  });

  it('is a model that asks for one key in two shapes; one shape it may ask for twice', async () => {
    const checkpoint = await open({ weight: f32([2, 2], 1) });
    const twice = (first: number, second: number) => (from: ParamSource) => [
      from.linear(2, first, { bias: false }),
      from.linear(2, second, { bias: false }),
    ];
    await expect(loadParams(checkpoint, twice(2, 3))).rejects.toThrow(
      'loadParams: a model asks for a key with one shape; got [2, 2] and [3, 2] for "weight"',
    );
    const { params } = await loadParams(checkpoint, twice(2, 2));
    expect(params[0].weight).toBe(params[1].weight);
    const sink = memorySink();
    await saveParams(params, await startSafetensors(sink, paramSpecs(params)));
    expect((await openSafetensors(bufferSource(sink.bytes()))).keys()).toEqual(['weight']);
    disposeParams(params);
  });

  it('is a tree that the writer was not told of, or that is not float32', async () => {
    const parameter = (value: Tensor): Parameter => ({ kind: 'parameter', path: 'a', value });
    const float = parameter(scalar(1));
    const other = await startSafetensors(memorySink('out'), { b: { dtype: 'F32', shape: [] } });
    await expect(saveParams(float, other)).rejects.toThrow('saveParams: the writer was told of every tensor; got "a"');
    const integer = parameter(scalar(1, 'int32'));
    const writer = await startSafetensors(memorySink('out'), paramSpecs(integer));
    await expect(saveParams(integer, writer)).rejects.toThrow('saveParams: parameters are float32; got int32 for "a"');
    const both = [float, parameter(scalar(2))];
    expect(() => paramSpecs(both)).toThrow('saveParams: each tensor has a key of its own; got two for "a"');
    for (const { value } of [...both, integer]) value.dispose();
  });
}, ['cpu']);

describeOnBackends('files for Python', () => {
  it.skipIf(pythonExecutable() === undefined)('saved here load into the same PyTorch module', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rass-save-'));
    try {
      const path = join(folder, 'saved.safetensors');
      const { params } = await loadParams(await open(whole), tinyParams);
      await saveParams(params, await createSafetensors(path, paramSpecs(params)));
      const [line] = runPython(fixturePath('oracle', 'weights_safetensors.py'), ['contents', path]).trim().split('\n');
      const expected = await contentsOf(
        await open({ ...whole, scale: { dtype: 'F32', shape: [2], data: Float32Array.of(1.5, -2) } }),
      );
      expect(JSON.parse(line).tensors).toEqual(expected);
      disposeParams(params);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('of torch.save load into a tree', async () => {
    const checkpoint = await openCheckpoint(fixturePath('golden', 'weights', 'torch', 'module-legacy.pth'));
    const build = (from: ParamSource) => from.at('conv').conv2d(2, 3);
    const { params, report } = await loadParams(checkpoint, build, { allowUnused: [/^(norm|tied)\./] });
    expect(report.used).toEqual(['conv.weight', 'conv.bias']);
    expect(params.weight.shape).toEqual([3, 3, 2, 3]);
    disposeParams(params);
    await checkpoint.close();
  });
}, ['cpu']);
