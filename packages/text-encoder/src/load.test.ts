import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { selectBackend } from '@rass/kernels';
import { disposeParams } from '@rass/nn';
import { expectClose, type Golden, loadGolden, pythonExecutable, runPython } from '@rass/testkit';
import { encodeSafetensors, openCheckpoint, type TensorToWrite } from '@rass/weights';
import { openDiffusersFolder } from '@rass/weights/node';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseClipTextConfig } from './config.ts';
import { clipText } from './forward.ts';
import { loadClipText } from './load.ts';
import { tokenizerFromFiles } from './tokenizer/index.ts';

/** The case's weights as a checkpoint file, with more tensors beside them. */
async function checkpointOf(golden: Golden, more: Record<string, TensorToWrite> = {}) {
  const weights = golden.names('w/').map((key): [string, TensorToWrite] => {
    const { shape, values } = golden.raw(`w/${key}`);
    return [key, { dtype: 'F32', shape, data: values as Float32Array<ArrayBuffer> }];
  });
  return openCheckpoint(await encodeSafetensors({ ...Object.fromEntries(weights), ...more }));
}

describe('loadClipText', () => {
  beforeAll(() => selectBackend('cpu'));

  it.each(['sd1', 'sd2', 'projection'])('loads %s, with the prefix that its keys have', async (name) => {
    const golden = loadGolden(`text-encoder/${name}`);
    const positions = { dtype: 'I64', shape: [1, 2], data: BigInt64Array.of(0n, 1n) } as const;
    const prefix = name === 'sd2' ? '' : 'text_model.';
    const checkpoint = await checkpointOf(golden, { [`${prefix}embeddings.position_ids`]: positions });
    const { params, report } = await loadClipText(checkpoint, parseClipTextConfig(golden.config));
    expect(report.missing).toEqual([]);
    expect(report.unused).toEqual([`${prefix}embeddings.position_ids`]);
    const mask = golden.has('in/mask') ? { attentionMask: golden.tensor('in/mask') as Tensor2D } : {};
    const { lastHiddenState } = clipText(params, golden.tensor('in/ids') as Tensor2D, mask);
    await expectClose(lastHiddenState, golden.tensor('out/last'));
    disposeParams(params);
  });

  it('refuses what does not fit, by name', async () => {
    const golden = loadGolden('text-encoder/sd1');
    const config = parseClipTextConfig({ ...golden.config, num_hidden_layers: 1 });
    await expect(loadClipText(await checkpointOf(golden), config)).rejects.toThrow(/got 16 unused/);
    const vision = await openCheckpoint(
      await encodeSafetensors({ x: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } }),
    );
    await expect(loadClipText(vision, config)).rejects.toThrow('clipText: one key of a checkpoint ends in');
  });
});

describe.skipIf(pythonExecutable() === undefined)('a diffusers folder that Python wrote', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rass-text-encoder-'));
  beforeAll(async () => {
    await selectBackend('cpu');
    runPython(fileURLToPath(new URL('../../../test-fixtures/oracle/text_encoder.py', import.meta.url)), [folder]);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['published', 'saved'])('gives the states of transformers from texts: %s', async (kind) => {
    const { texts, last, pooled } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'));
    const model = await openDiffusersFolder(join(folder, kind));
    if (model.textEncoder === undefined || model.tokenizer === undefined) return expect.fail('a component is missing');
    const { config, checkpoint } = model.textEncoder;
    const { params } = await loadClipText(checkpoint, parseClipTextConfig(config));
    const result = clipText(params, tokenizerFromFiles(model.tokenizer).encodeBatch(texts));
    await expectClose(await result.lastHiddenState.data(), last);
    await expectClose(await result.pooled.data(), pooled);
    disposeParams(params);
    await model.close();
  });
});
