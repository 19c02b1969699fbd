import { anything, checkOptions, type OptionRules, text } from '@rass/kernels/options';
import { closest, namedRandom } from '@rass/nn';

/** A token of a text: the part of the text that it stands for, in UTF-16 units. @rass/text-encoder's tokens are such. */
export interface TextToken {
  readonly start: number;
  readonly end: number;
}

/** Cuts a text into tokens, without markers: `tokenizer.tokenize` of @rass/text-encoder. */
export type Tokenize = (text: string) => readonly TextToken[];

/** A word or several that are looked for in the attention, and where their tokens stand in the row that the text model reads. */
export interface TagPositions {
  readonly tag: string;
  /** Counted with the start marker: the first word stands at 1. */
  readonly positions: readonly number[];
}

export interface PromptOptions {
  /** Mix the tags by this seed: CLIP reads from left to right, so their order matters. */
  shuffle?: number;
  /** Tokens that fit beside the two markers; default 75. */
  maxTokens?: number;
  /** Between the tags; default a space. */
  separator?: string;
}

/** A prompt made of tags. */
export interface TagPrompt {
  readonly text: string;
  readonly tags: readonly TagPositions[];
  /** Tags that did not fit, from the end of the list. */
  readonly dropped: readonly string[];
}

/** CLIP's 77 without the two markers. */
const MAX_TOKENS = 75;
/** The start marker stands before the first token. */
const START_MARKER = 1;

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const next = namedRandom(seed, 'tags');
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}

function positionsOf(tokens: readonly TextToken[], start: number, end: number): number[] {
  return tokens.flatMap((token, i) => (token.start < end && token.end > start ? [i + START_MARKER] : []));
}

function checkTags(tags: readonly string[]): void {
  const bad = tags.findIndex((tag, i) => tag.trim() === '' || tags.indexOf(tag) !== i);
  if (bad < 0) return;
  throw new Error(
    `attention-alignment: each tag is a text of its own; got ${JSON.stringify(tags[bad])} at ${bad}; leave out empty and repeated ones`,
  );
}

const PROMPT_OPTIONS_RULES: OptionRules<PromptOptions> = { shuffle: anything, maxTokens: anything, separator: text };

/** A prompt of tags, and where each stands in it. What does not fit is dropped from the end of the list, so put what matters first (large
 * regions): it is mixed afterwards. @throws when a tag is empty or there twice, or not even one fits */
export function tagPrompt(tags: readonly string[], tokenize: Tokenize, options: PromptOptions = {}): TagPrompt {
  checkOptions('tagPrompt', options, PROMPT_OPTIONS_RULES);
  const { maxTokens = MAX_TOKENS, separator = ' ', shuffle } = options;
  checkTags(tags);
  const kept = [...tags];
  while (kept.length > 0 && tokenize(kept.join(separator)).length > maxTokens) kept.pop();
  if (kept.length === 0 && tags.length > 0) {
    throw new Error(`attention-alignment: a tag fits into ${maxTokens} tokens; got "${tags[0]}"; shorten it`);
  }
  const ordered = shuffle === undefined ? kept : shuffled(kept, shuffle);
  const text = ordered.join(separator);
  const tokens = tokenize(text);
  let at = 0;
  const placed = ordered.map((tag): TagPositions => {
    const positions = positionsOf(tokens, at, at + tag.length);
    at += tag.length + separator.length;
    return { tag, positions };
  });
  return { text, tags: placed, dropped: tags.slice(kept.length) };
}

export interface FindOptions {
  /** Which of several occurrences: all of them (default), or one, counted from 0. */
  occurrence?: 'all' | number;
  /** Tokens that the text model reads beside the two markers; default 75. What stands behind them is cut off. */
  maxTokens?: number;
}

/** Letters and digits on either side would make it a part of another word. */
const isInside = (text: string, start: number, end: number): boolean =>
  /[\p{L}\p{N}]$/u.test(text.slice(0, start)) || /^[\p{L}\p{N}]/u.test(text.slice(end));

/** A regular expression keeps the text's own offsets, where lower case can be longer than upper case. */
function occurrences(text: string, tag: string): TextToken[] {
  const literally = tag.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  const all = [...text.matchAll(new RegExp(literally, 'giu'))];
  return all
    .map(({ index, 0: found }) => ({ start: index, end: index + found.length }))
    .filter(({ start, end }) => !isInside(text, start, end));
}

function missingError(text: string, tag: string, found: number, occurrence: 'all' | number): Error {
  const words = text.split(/[^\p{L}\p{N}'-]+/u).filter(Boolean);
  const got = occurrence === 'all' || found === 0 ? 'no such word' : `${found} of them, none at ${occurrence}`;
  return new Error(
    `attention-alignment: each tag stands in the prompt; got "${tag}": ${got}; closest: ${closest(tag, [...new Set(words)], 2).join(', ')}`,
  );
}

const FIND_OPTIONS_RULES: OptionRules<FindOptions> = { occurrence: anything, maxTokens: anything };

/** Where words stand in a prompt that is given: whole words, whatever their case. @throws when a word is not in the prompt, naming the closest,
 * or its tokens were cut off */
export function findTags(
  text: string,
  tags: readonly string[],
  tokenize: Tokenize,
  options: FindOptions = {},
): TagPositions[] {
  checkOptions('findTags', options, FIND_OPTIONS_RULES);
  const { occurrence = 'all', maxTokens = MAX_TOKENS } = options;
  checkTags(tags);
  const tokens = tokenize(text);
  return tags.map((tag) => {
    const all = occurrences(text, tag);
    const chosen = occurrence === 'all' ? all : all.filter((_, i) => i === occurrence);
    if (chosen.length === 0) throw missingError(text, tag, all.length, occurrence);
    const positions = chosen.flatMap(({ start, end }) => positionsOf(tokens, start, end));
    const cut = positions.find((position) => position > maxTokens);
    if (cut === undefined) return { tag, positions };
    throw new Error(
      `attention-alignment: tags stand in the first ${maxTokens} tokens of the prompt; got "${tag}" at ${cut}; shorten the prompt, or choose an occurrence`,
    );
  });
}

/** What stands around and between the words of a list in Python's spelling. @source RASS encode_prompt */
export function cleanPrompt(prompt: string): string {
  return prompt
    .replace(/^[[\] ,]+|[[\] ,]+$/g, '')
    .replaceAll("'", '')
    .split(',')
    .join(' ');
}

/** The synonyms of a class name as ADE20K spells it, "door, double door": the first is what prompts say, the others what taggers may. */
export function classTags(name: string): string[] {
  return name
    .split(/[,;]/)
    .map((synonym) => synonym.trim())
    .filter((synonym, i, all) => synonym !== '' && all.indexOf(synonym) === i);
}
