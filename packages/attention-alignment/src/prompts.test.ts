import { createTokenizer } from '@rass/text-encoder/presets';
import { describe, expect, it } from 'vitest';
import { classTags, cleanPrompt, findTags, tagPrompt } from './index.ts';

const tokenizer = createTokenizer({ preset: 'stable-diffusion-2' });
const { tokenize } = tokenizer;

/** What the row that the text model reads has at the positions. */
function words(text: string, positions: readonly number[]): string {
  const { ids } = tokenizer.encodeBatch([text]);
  return tokenizer.decode(positions.map((position) => ids[position])).trim();
}

describe('prompts of tags', () => {
  it('say where each stands, with several tokens and several words', () => {
    const { text, tags, dropped } = tagPrompt(['wall', 'chandelier', 'potted plant'], tokenize);
    expect(text).toBe('wall chandelier potted plant');
    expect(tags.map(({ tag, positions }) => [tag, words(text, positions)])).toEqual([
      ['wall', 'wall'],
      ['chandelier', 'chandelier'],
      ['potted plant', 'potted plant'],
    ]);
    expect(tags[2].positions).toEqual([3, 4]);
    const [{ positions }] = tagPrompt(['isthmuses'], tokenize).tags;
    expect(positions.length).toBeGreaterThan(1);
    expect(dropped).toEqual([]);
  });

  it('are mixed by a seed, and tell the words all the same', () => {
    const names = ['wall', 'building', 'sky', 'floor', 'tree', 'ceiling', 'road', 'bed'];
    const orders = [1, 2, 3].map((shuffle) => {
      const { text, tags } = tagPrompt(names, tokenize, { shuffle, separator: ', ' });
      for (const { tag, positions } of tags) expect(words(text, positions)).toBe(tag);
      expect(tags.map(({ tag }) => tag).sort()).toEqual([...names].sort());
      return text;
    });
    expect(new Set(orders).size).toBe(3);
    expect(tagPrompt(names, tokenize, { shuffle: 2, separator: ', ' }).text).toBe(orders[1]);
  });

  it('drop what does not fit, from the end', () => {
    const names = Array.from({ length: 50 }, (_, i) => `tag ${String.fromCharCode(97 + (i % 26))}${i}`);
    const { tags, dropped, text } = tagPrompt(names, tokenize, { shuffle: 1 });
    expect(tags.length + dropped.length).toBe(50);
    expect(dropped).toEqual(names.slice(tags.length));
    expect(tokenize(text).length).toBeLessThanOrEqual(75);
    expect(Math.max(...tags.flatMap(({ positions }) => positions))).toBeLessThanOrEqual(75);
  });

  it('say what is no tag', () => {
    expect(() => tagPrompt(['a', ' '], tokenize)).toThrow(
      'attention-alignment: each tag is a text of its own; got " " at 1; leave out empty and repeated ones',
    );
    expect(() => tagPrompt(['a', 'b', 'a'], tokenize)).toThrow('got "a" at 2; leave out');
    expect(() => tagPrompt(['building'], tokenize, { maxTokens: 0 })).toThrow(
      'attention-alignment: a tag fits into 0 tokens; got "building"; shorten it',
    );
  });
});

describe('words of a prompt', () => {
  const text = 'A dog and a hotdog; the Dog sleeps beside a potted plant.';

  it('are found whole, whatever their case, all of them or one', () => {
    const [dog, plant] = findTags(text, ['dog', 'potted plant'], tokenize);
    expect(words(text, dog.positions)).toBe('dog dog');
    expect(words(text, plant.positions)).toBe('potted plant');
    const [second] = findTags(text, ['dog'], tokenize, { occurrence: 1 });
    expect(second.positions).toEqual([dog.positions[1]]);
  });

  it('are counted in the text as it is, where lower case is longer, and with signs in them', () => {
    const [tree] = findTags('İ İ tree (oak)', ['tree'], tokenize);
    expect(words('İ İ tree (oak)', tree.positions)).toBe('tree');
    const [oak] = findTags('İ tree (oak)', ['(oak)'], tokenize);
    expect(words('İ tree (oak)', oak.positions)).toBe('( oak )');
  });

  it('that the text model does not read are an error', () => {
    const long = `dog ${'grass '.repeat(75)}dog`;
    expect(findTags(long, ['dog'], tokenize, { occurrence: 0 })[0].positions).toEqual([1]);
    expect(() => findTags(long, ['dog'], tokenize)).toThrow(
      'attention-alignment: tags stand in the first 75 tokens of the prompt; got "dog" at 77; shorten the prompt, or choose an occurrence',
    );
  });

  it('that are not there are named with the closest', () => {
    expect(() => findTags(text, ['dogs'], tokenize)).toThrow(
      'attention-alignment: each tag stands in the prompt; got "dogs": no such word; closest: dog, Dog',
    );
    expect(() => findTags(text, ['dog'], tokenize, { occurrence: 2 })).toThrow(
      'got "dog": 2 of them, none at 2; closest: dog',
    );
  });
});

it("cleans lists in Python's spelling", () => {
  expect(cleanPrompt("['building', 'grass']")).toBe('building  grass');
  expect(cleanPrompt('a, b,')).toBe('a  b');
});

it('takes class names apart', () => {
  expect(classTags('door; double door, door')).toEqual(['door', 'double door']);
  expect(classTags('bed ')).toEqual(['bed']);
});
