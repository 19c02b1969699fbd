import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer, vocabularyFiles } from '../presets.ts';
import { emptyPrompt, tokenizerFromFiles, tokenPositions } from './index.ts';
import { mergesSha256 } from './merges.generated.ts';

interface Case {
  text: string;
  sd1: number[];
  sd2: number[];
  decoded: string;
}

const fixture = new URL('../../../../test-fixtures/golden/text-encoder/tokenizer.json', import.meta.url);
const cases = JSON.parse(readFileSync(fixture, 'utf8')) as Case[];
const first = createTokenizer();
const second = createTokenizer({ preset: 'stable-diffusion-2' });

describe('tokenizer', () => {
  it('gives the ids of transformers for 600 stored texts', () => {
    expect(cases.length).toBe(600);
    for (const { text, sd1, sd2, decoded } of cases) {
      expect(first.encode(text), JSON.stringify(text)).toEqual([49406, ...sd1, 49407]);
      expect(second.encode(text), JSON.stringify(text)).toEqual([49406, ...sd2, 49407]);
      expect(first.decode(first.encode(text))).toBe(decoded);
    }
  });

  it('ships the merges of CLIP', () => {
    const { 'merges.txt': merges, 'vocab.json': vocab } = vocabularyFiles();
    const lines = merges.replace('#version: 0.2\n', '');
    expect(createHash('sha256').update(lines).digest('hex')).toBe(mergesSha256);
    expect(lines.split('\n').slice(0, 3)).toEqual(['i n', 't h', 'a n']);
    expect(Object.keys(JSON.parse(vocab)).length).toBe(49408);
    expect(first.size).toBe(49408);
    expect([first.idOf('hello</w>'), first.textOf(3306)]).toEqual([3306, 'hello</w>']);
  });

  it('pads as Stable Diffusion 1 and as Stable Diffusion 2', () => {
    const one = first.encodeBatch(['a cat', '']);
    expect(one.shape).toEqual([2, 77]);
    expect([...one.ids.subarray(0, 6)]).toEqual([49406, 320, 2368, 49407, 49407, 49407]);
    expect([...one.ids.subarray(77, 80), one.ids[153]]).toEqual([49406, 49407, 49407, 49407]);
    const two = second.encodeBatch(['a cat', '']);
    expect([...two.ids.subarray(0, 6)]).toEqual([49406, 320, 2368, 49407, 0, 0]);
    expect([...two.attentionMask.subarray(0, 6)]).toEqual([1, 1, 1, 1, 0, 0]);
    expect(two.attentionMask.reduce((a, b) => a + b)).toBe(6);
  });

  it('takes an exclamation mark for padding in Stable Diffusion 2 alone', () => {
    expect(first.encode('wow!')).toEqual([49406, 2781, 256, 49407]);
    expect(second.encode('wow!')).toEqual([49406, 2781, 0, 49407]);
  });

  it('needs no vocabulary for a text without words', () => {
    expect(emptyPrompt()).toEqual(first.encodeBatch(['']));
    expect(emptyPrompt('stable-diffusion-2')).toEqual(second.encodeBatch(['']));
  });

  it('cuts long texts and says so, or refuses to', () => {
    const long = 'cat '.repeat(100);
    const batch = first.encodeBatch([long, 'cat']);
    expect(batch.truncated).toEqual([true, false]);
    expect([...batch.ids.subarray(0, 77)]).toEqual([49406, ...new Array(75).fill(2368), 49407]);
    expect(() => first.encodeBatch(['cat', long], { truncate: false })).toThrow(
      'tokenizer: a row is at most 77 tokens; row 1 has 102; shorten it or let it be truncated',
    );
    expect(first.encodeBatch(['cat', 'a cat'], { padding: 'longest' }).shape).toEqual([2, 4]);
    expect(first.encodeBatch([], { padding: 'longest' }).shape).toEqual([0, 0]);
  });

  it('says which part of the text each token stands for', () => {
    const text = '  A Ｃat,\u00a0CAFE\u0301s 👍🏽';
    const spans = first.tokenize(text).map(({ start, end }) => text.slice(start, end));
    // The wide letter is three tokens, which share its span; the two halves of the hand are one.
    expect(spans).toEqual(['A', 'Ｃ', 'Ｃ', 'Ｃ', 'at', ',', 'CAF', 'E\u0301s', '👍🏽']);
    const row = first.encodeBatch(['a potted plant and a dog']).tokens[0];
    expect(tokenPositions(row, 2, 14).map((i) => row[i].text)).toEqual(['potted</w>', 'plant</w>']);
    expect(tokenPositions(row, 21, 24).map((i) => row[i].text)).toEqual(['dog</w>']);
    expect(tokenPositions(row, 0, 1000)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('counts a lone surrogate as U+FFFD', () => {
    const lone = ['a\ud800b', '\udc00', 'x\ud83d', '\ud83d e\u0301\udca9', '\udc00\ud800'];
    const replaced = ['a\ufffdb', '\ufffd', 'x\ufffd', '\ufffd e\u0301\ufffd', '\ufffd\ufffd'];
    lone.forEach((text, i) => {
      expect(first.tokenize(text)).toEqual(first.tokenize(replaced[i]));
    });
    expect(first.tokenize('a\ud800b')[1]).toMatchObject({ start: 1, end: 2 });
  });

  it('lower-cases each character by itself and composes it', () => {
    expect(first.decode(first.encode('ΣΑΣ İ Å CAFE\u0301'), { skipSpecialTokens: true })).toBe('σασ i ̇ å café');
  });

  it('reads very long words in little more than linear time', () => {
    const ids = first.encode('a'.repeat(200_000));
    expect(first.decode(ids, { skipSpecialTokens: true }).length).toBe(200_000);
  });

  it('decodes what is no text as U+FFFD, and refuses ids that there are not', () => {
    const [, id] = first.encode('👍🏽');
    expect(first.decode([id])).not.toBe('');
    expect(first.decode([first.idOf('Ñ') as number])).toBe('\ufffd');
    expect(first.decode([49406, 2368, 49407])).toBe('<|startoftext|>cat <|endoftext|>');
    expect(first.decode([49406, 2368, 49407], { skipSpecialTokens: true })).toBe('cat');
    expect(() => first.decode([49408])).toThrow(
      'tokenizer.decode: an id is of the vocabulary; got 49408; decode with the tokenizer that made it',
    );
  });
});

it('refuses option words that it does not know', () => {
  expect(() => createTokenizer({ preset: 'stable-diffusion-3' as 'stable-diffusion-1' })).toThrow(
    'tokenizer: preset is stable-diffusion-1 or stable-diffusion-2; got "stable-diffusion-3"; tokenizerFromFiles reads others\' files',
  );
  expect(() => createTokenizer().encodeBatch(['cat'], { padding: 'max' as 'longest' })).toThrow(
    'tokenizer: padding is max_length or longest; got "max"; give one of them',
  );
});

describe('tokenizerFromFiles', () => {
  const tiny = {
    'vocab.json': JSON.stringify({
      l: 0,
      o: 1,
      w: 2,
      'w</w>': 3,
      lo: 4,
      'low</w>': 5,
      '<|startoftext|>': 6,
      '<|endoftext|>': 7,
    }),
    'merges.txt': '#version: 0.2\nl o\nlo w</w>\n',
  };

  it('merges by hand: low is one token, unknown bytes are the unknown token', () => {
    const tokenizer = tokenizerFromFiles(tiny);
    expect(tokenizer.encode('LOW')).toEqual([6, 5, 7]);
    expect(tokenizer.encode('loow')).toEqual([6, 4, 1, 3, 7]);
    expect(tokenizer.tokenize('lxw').map(({ id }) => id)).toEqual([0, 7, 3]);
    expect(tokenizer.maxLength).toBeUndefined();
    expect(() => tokenizer.encodeBatch(['low'])).toThrow(
      'tokenizer: padding to max_length needs a whole length; got Infinity; pass maxLength',
    );
    expect([...tokenizer.encodeBatch(['low'], { maxLength: 4 }).ids]).toEqual([6, 5, 7, 7]);
    expect(() => tokenizer.encodeBatch(['low'], { maxLength: 1 })).toThrow(
      'tokenizer: maxLength holds the two markers; got 1; pass 2 or more',
    );
  });

  it('pads and cuts on the left where the configuration says so', () => {
    const config = { padding_side: 'left', truncation_side: 'left', model_max_length: 4, pad_token: 'o' };
    const tokenizer = tokenizerFromFiles({ ...tiny, 'tokenizer_config.json': JSON.stringify(config) });
    // "o" is the padding token, so it is looked for in the text as given, and "low" is cut in three.
    expect([...tokenizer.encodeBatch(['w', 'w w low']).ids]).toEqual([1, 6, 3, 7, 6, 1, 3, 7]);
  });

  it('refuses files that do not fit, by name', () => {
    const withConfig = (config: unknown) => ({ ...tiny, 'tokenizer_config.json': JSON.stringify(config) });
    expect(() => tokenizerFromFiles({ 'vocab.json': tiny['vocab.json'] })).toThrow(
      'tokenizer: files are tokenizer.json, or vocab.json and merges.txt; got vocab.json; add what is missing',
    );
    expect(() => tokenizerFromFiles({ ...tiny, 'merges.txt': 'l ow' })).toThrow(
      'tokenizer: merges are of the vocabulary\'s tokens; "l ow" needs "ow"; give files of one model',
    );
    expect(() => tokenizerFromFiles({ ...tiny, 'merges.txt': 'l o w' })).toThrow(
      'tokenizer: a merge is two tokens with a space between; got "l o w"; give merges.txt unchanged',
    );
    expect(() => tokenizerFromFiles({ ...tiny, 'vocab.json': '{' })).toThrow(/^tokenizer: vocab\.json is JSON; got /);
    expect(() => tokenizerFromFiles(withConfig({ tokenizer_class: 'T5Tokenizer' }))).toThrow(
      'tokenizer: tokenizer_config.json: tokenizer_class is ("CLIPTokenizer" | "CLIPTokenizerFast"); got "T5Tokenizer"; other values are not implemented',
    );
    expect(() => tokenizerFromFiles(withConfig({ split_special_tokens: true }))).toThrow(
      'tokenizer: tokenizer_config.json: split_special_tokens is false; got true; other values are not implemented',
    );
    expect(() => tokenizerFromFiles(withConfig({ add_bos_token: true }))).toThrow(
      'tokenizer: tokenizer_config.json: add_bos_token and add_eos_token are both true or both absent; got one',
    );
    expect(() => tokenizerFromFiles(withConfig({ image_token: '<image>' }))).toThrow(
      'special tokens are bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token; got image_token',
    );
    expect(() => tokenizerFromFiles(withConfig({ unk_token: '<unk>' }))).toThrow(
      'tokenizer: the unknown token is in the vocabulary; "<unk>" is not; give a vocabulary that has it',
    );
    expect(() => tokenizerFromFiles(withConfig({ added_tokens_decoder: { 9: { content: '<cat>' } } }))).toThrow(
      'tokenizer: added tokens follow the vocabulary; "<cat>" is 9 in the files, and 8 by its place',
    );
  });
});
