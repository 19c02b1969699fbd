import { selectBackend } from '@rass/kernels';
import { disposeParams, mapTensors, namedTensors, ParamSource, randomParams, shapeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import {
  add,
  dispose,
  grads,
  mul,
  norm,
  slice,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  tensor3d,
} from '@tensorflow/tfjs-core';
import { describe, expect, inject, it } from 'vitest';
import { parseClipTextConfig } from './config.ts';
import {
  type ClipTextOptions,
  type ClipTextResult,
  clipText,
  clipTextEmbeddings,
  clipTextFromEmbeddings,
} from './forward.ts';
import { type ClipText, clipTextParams, clipTextPrefix } from './params.ts';

const cases = ['sd1', 'sd2', 'projection'];
const everything = { hiddenStates: true, attention: true };

function goldenModel(golden: Golden): ClipText {
  const from = new ParamSource(({ key }) => golden.tensor(`w/${key}`));
  return clipTextParams(from, parseClipTextConfig(golden.config), clipTextPrefix(golden.names('w/')));
}

function goldenOptions(golden: Golden): ClipTextOptions {
  return { ...everything, ...(golden.has('in/mask') ? { attentionMask: golden.tensor('in/mask') as Tensor2D } : {}) };
}

/** The loss of the make script. */
function weighted(golden: Golden, result: ClipTextResult): Tensor {
  const terms: Record<string, Tensor | undefined> = {
    last: result.lastHiddenState,
    pooled: result.pooled,
    embedding: result.embedding,
    hidden: result.hiddenStates?.[1],
    attention: result.attention?.at(-1),
  };
  const parts = golden.names('r/').map((name) => sum(mul(terms[name] as Tensor, golden.tensor(`r/${name}`))));
  return parts.reduce((a, b) => add(a, b));
}

describeOnBackends("against transformers' CLIP text models", () => {
  it.each(cases)('%s: outputs, hidden states and attention probabilities', async (name) => {
    const golden = loadGolden(`text-encoder/${name}`);
    const p = goldenModel(golden);
    const result = clipText(p, golden.tensor('in/ids') as Tensor2D, goldenOptions(golden));
    await expectClose(result.lastHiddenState, golden.tensor('out/last'), { label: 'last hidden state' });
    await expectClose(result.pooled, golden.tensor('out/pooled'), { label: 'pooled' });
    expect(result.embedding !== undefined).toBe(golden.has('out/embedding'));
    if (result.embedding) await expectClose(result.embedding, golden.tensor('out/embedding'), { label: 'embedding' });
    expect(result.hiddenStates?.length).toBe(golden.names('hidden/').length);
    expect(result.attention?.length).toBe(golden.names('attention/').length);
    for (const [i, state] of (result.hiddenStates ?? []).entries()) {
      await expectClose(state, golden.tensor(`hidden/${i}`), { label: `hidden state ${i}` });
    }
    for (const [i, map] of (result.attention ?? []).entries()) {
      await expectClose(map, golden.tensor(`attention/${i}`), { label: `attention ${i}` });
    }
    disposeParams(p);
  });

  it.each(cases)('%s: gradients by the input embeddings and by every weight', async (name) => {
    const golden = loadGolden(`text-encoder/${name}`);
    const p = goldenModel(golden);
    const ids = golden.tensor('in/ids') as Tensor2D;
    const options = goldenOptions(golden);
    const weights = namedTensors(p);
    const byWeights = (...values: Tensor[]): Tensor => {
      const at = new Map(weights.map(({ key }, i) => [key, values[i]]));
      return weighted(
        golden,
        clipText(
          mapTensors(p, ({ key }) => at.get(key) as Tensor),
          ids,
          options,
        ),
      );
    };
    const found = grads(byWeights)(weights.map(({ tensor }) => tensor));
    expect(weights.length).toBe(golden.names('w/').length);
    for (const [i, { key }] of weights.entries()) {
      const label = `gradient of ${key}`;
      if (key.endsWith('k_proj.bias')) {
        // The same shift of all keys changes no softmax: the gradient is zero, and what is left is rounding.
        const [length] = await norm(found[i]).data();
        const [whole] = await norm(golden.tensor(`grad/${key.replace('bias', 'weight')}`)).data();
        expect(length / whole, label).toBeLessThan(1e-3);
      } else await expectClose(found[i], golden.tensor(`grad/${key}`), { relative: 1e-3, label });
    }
    const embedded = clipTextEmbeddings(p, ids);
    const byEmbedded = (x: Tensor): Tensor => weighted(golden, clipTextFromEmbeddings(p, x as Tensor3D, ids, options));
    const [gradient] = grads(byEmbedded)([embedded]);
    await expectClose(gradient, golden.tensor('grad/embedded'), {
      relative: 1e-3,
      label: 'gradient of the embeddings',
    });
    disposeParams(p);
  });

  it('leaves layers out, as clip skip does', async () => {
    const golden = loadGolden('text-encoder/sd2');
    const p = goldenModel(golden);
    const ids = golden.tensor('in/ids') as Tensor2D;
    const skipped = clipText(p, ids, { skipLayers: 1 });
    const states = clipText(p, ids, { hiddenStates: true }).hiddenStates as Tensor3D[];
    const { lastHiddenState } = clipTextFromEmbeddings({ ...p, layers: [] }, states.at(-2) as Tensor3D, ids);
    await expectClose(skipped.lastHiddenState, lastHiddenState);
    expect(clipText(p, ids, { skipLayers: 2, ...everything }).hiddenStates?.length).toBe(4);
    disposeParams(p);
  });

  it('sees no later token, and leaves nothing behind', async () => {
    const p = clipTextParams(randomParams(3), small);
    await expectNoLeaks(async () => {
      const [one, other] = [5, 6].map((id) => clipText(p, rows([[1, 2, 3, id, 9, 9]]), everything));
      const first = (result: ClipTextResult): Tensor => slice(result.lastHiddenState, [0, 0, 0], [1, 3, 8]);
      const heads = [one, other].map(first);
      await expectClose(heads[0], heads[1], { relative: 1e-6 });
      const tails = await Promise.all([one, other].map((result) => result.lastHiddenState.data()));
      expect(tails[0].slice(-8)).not.toEqual(tails[1].slice(-8));
      dispose([...heads, one, other] as never);
    });
    disposeParams(p);
  });

  it('pools by hand: the first of equal largest ids, and the first token where the end token is missing', async () => {
    const p = clipTextParams(randomParams(3), small);
    const ids = [
      [4, 9, 9, 2, 9, 9],
      [3, 3, 3, 3, 3, 3],
      [1, 2, 3, 7, 7, 9],
    ];
    const places = async (endToken: ClipText['endToken']): Promise<number[]> => {
      const { lastHiddenState, pooled } = clipText({ ...p, endToken }, rows(ids));
      const [states, taken] = await Promise.all([lastHiddenState.array(), pooled.array()]);
      return taken.map((vector, row) => states[row].findIndex((state) => state.join() === vector.join()));
    };
    expect(await places('largest')).toEqual([1, 0, 5]);
    expect(await places(7)).toEqual([0, 0, 3]);
    disposeParams(p);
  });
});

const json = {
  architectures: ['CLIPTextModel'],
  vocab_size: 10,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 6,
  hidden_act: 'gelu',
  eos_token_id: 2,
};
const small = parseClipTextConfig(json);

function rows(ids: number[][]): { shape: [number, number]; ids: number[] } {
  return { shape: [ids.length, ids[0].length], ids: ids.flat() };
}

describeOnBackends('clipText, ids as a tensor', () => {
  it('refuses ids that the model has not', () => {
    const p = clipTextParams(randomParams(3), small);
    for (const id of [10, -1]) expect(() => clipText(p, tensor2d([[1, id]], [1, 2], 'int32'))).toThrow(`got ${id}`);
    disposeParams(p);
  });
}, ['cpu', 'native', 'webgpu']);

describe('clipText', () => {
  it('refuses what it cannot do, by name', () => {
    const p = clipTextParams(shapeParams(), small);
    expect(() => clipText(p, rows([[1, 2, 3, 4, 5, 6, 7]]))).toThrow(
      'clipText: rows have at most 6 tokens; got 7; truncate them',
    );
    for (const id of [10, -1, 1.5, Number.NaN]) {
      expect(() => clipText(p, rows([[1, id]]))).toThrow(
        `clipText: token ids are whole numbers from 0 to 9; got ${id}; use the model's own tokenizer`,
      );
    }
    const x = tensor3d([[[1, 2]]]);
    expect(() => clipTextFromEmbeddings(p, x, rows([[1]]), { skipLayers: 3 })).toThrow(
      'clipText: skipLayers is from 0 to the 2 layers; got 3; leave fewer out',
    );
    expect(() => clipTextFromEmbeddings(p, x, rows([[1]]), { attentionMask: [1, 1] })).toThrow(
      'clipText: attentionMask is [1, 1]; got 2 values; give one for each token',
    );
  });

  it('finds the prefix of a checkpoint', () => {
    expect(clipTextPrefix(['text_model.embeddings.token_embedding.weight', 'x'])).toBe('text_model');
    expect(clipTextPrefix(['embeddings.token_embedding.weight'])).toBe('');
    expect(clipTextPrefix(['a.text_model.embeddings.token_embedding.weight'])).toBe('a.text_model');
    expect(() => clipTextPrefix(['x'])).toThrow(
      'clipText: one key of a checkpoint ends in embeddings.token_embedding.weight; got none; name the prefix yourself',
    );
    const keys: string[] = [];
    const projected = parseClipTextConfig({ ...json, architectures: ['CLIPTextModelWithProjection'] });
    clipTextParams(
      shapeParams(({ key }) => keys.push(key)),
      projected,
      'a.text_model',
    );
    expect(keys.at(-1)).toBe('a.text_projection.weight');
  });
});

describe.skipIf(!inject('backends').includes('webgpu'))('on a device that cannot hold the token table', () => {
  it('gives the same states', async () => {
    const config = parseClipTextConfig({ ...json, vocab_size: 5000 });
    const tokens = rows([[4999, 17, 4999, 0]]);
    const states = async (): Promise<ArrayLike<number>> => {
      const p = clipTextParams(randomParams(3), config);
      const values = await clipText(p, tokens).lastHiddenState.data();
      disposeParams(p);
      return values;
    };
    await selectBackend('cpu');
    const expected = await states();
    await selectBackend('webgpu', { webgpu: { limits: { maxStorageBufferBindingSize: 2 ** 16 } } });
    await expectClose(await states(), expected);
    await selectBackend('webgpu');
  });
});
