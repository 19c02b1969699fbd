import { tagPrompt } from '@rass/attention-alignment';
import { describeOnBackends, expectClose } from '@rass/testkit';
import { vocabularyFiles } from '@rass/text-encoder/presets';
import { blobFolder } from '@rass/weights';
import { memory } from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { smallModelFiles } from '../small-model.test-support.ts';
import { openModel } from './open.ts';

const loads = vi.hoisted(() => ({ presets: 0, files: 0 }));
vi.mock('@rass/text-encoder/presets', async (original) => {
  const own = await original<typeof import('@rass/text-encoder/presets')>();
  const counted: typeof own.createTokenizer = (options) => {
    loads.presets += 1;
    return own.createTokenizer(options);
  };
  return { ...own, createTokenizer: counted };
});
vi.mock('@rass/text-encoder/tokenizer', async (original) => {
  const own = await original<typeof import('@rass/text-encoder/tokenizer')>();
  const counted: typeof own.tokenizerFromFiles = (files) => {
    loads.files += 1;
    return own.tokenizerFromFiles(files);
  };
  return { ...own, tokenizerFromFiles: counted };
});

const TAGS = ['sky', 'tree'];

/** With the text model that has its tokenizer from the start. */
async function expectSame(files: Map<string, Blob>, counts: { presets: number; files: number }): Promise<void> {
  const before = memory().numTensors;
  const model = await openModel(blobFolder(files));
  const text = await model.loadText();
  const expected = { none: text.embed(['']), tags: text.embed([tagPrompt(TAGS, text.tokenizer.tokenize).text]) };
  const tags = await model.loadTags();
  Object.assign(loads, { presets: 0, files: 0 });
  const none = tags.embed(await tags.prompt([]));
  expect(loads).toEqual({ presets: 0, files: counts.files });
  // Two at a time load it once.
  const [prompt] = await Promise.all([tags.prompt(TAGS), tags.prompt(['car'])]);
  const some = tags.embed(prompt);
  expect(loads).toEqual(counts);
  expect(prompt.tags.map(({ tag }) => tag)).toEqual(TAGS);
  await expectClose(none, expected.none, { relative: 0 });
  await expectClose(some, expected.tags, { relative: 0 });
  for (const tensor of [none, some, expected.none, expected.tags]) tensor.dispose();
  text.dispose();
  tags.dispose();
  await model.close();
  expect(memory().numTensors).toBe(before);
}

describeOnBackends('a text model for tags', () => {
  it('loads a tokenizer with the first tag', async () => {
    await expectSame(await smallModelFiles(), { presets: 1, files: 0 });
  });

  it("takes a model's own tokenizer, which pads in its own way, from the first prompt on", async () => {
    const files = await smallModelFiles();
    for (const [name, text] of Object.entries(vocabularyFiles())) files.set(`tokenizer/${name}`, new Blob([text]));
    const config = { model_max_length: 77, pad_token: '<|endoftext|>', bos_token: '<|startoftext|>', eos_token: '<|endoftext|>', unk_token: '<|endoftext|>' }; // biome-ignore format: one line
    files.set('tokenizer/tokenizer_config.json', new Blob([JSON.stringify(config)]));
    const index = JSON.parse(await files.get('model_index.json')!.text());
    files.set(
      'model_index.json',
      new Blob([JSON.stringify({ ...index, tokenizer: ['transformers', 'CLIPTokenizer'] })]),
    );
    await expectSame(files, { presets: 0, files: 1 });
  });
}, ['cpu']);
