import { type AddedToken, type Spelling, splitAtTokens } from './added-tokens.ts';
import { mergeWord, type WordTokens } from './bpe.ts';
import { type NormalizedText, normalize } from './normalize.ts';
import { splitWords } from './split.ts';
import type { Vocabulary } from './vocabulary.ts';

/** One token of a text, and the part of the text that it stands for, in UTF-16 units: `text.slice(start, end)`.
 * Tokens that share a character, as the bytes of an emoji do, share its span. Markers have an empty one. */
export interface Token {
  readonly id: number;
  /** As the vocabulary spells it: `hello</w>`. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Whether it is a marker or special token, and no part of the text's words. */
  readonly special: boolean;
}

/** A word's tokens, and for each of its bytes the units of the character that it belongs to. */
interface MergedWord extends WordTokens {
  readonly byteStarts: readonly number[];
  readonly byteEnds: readonly number[];
}

const CACHED_WORDS = 20_000;
/** Longer words are rare and would fill the cache. */
const LONGEST_CACHED = 64;

function utf8Length(point: number): number {
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  return point < 0x10000 ? 3 : 4;
}

function charactersOfBytes(word: string): { byteStarts: number[]; byteEnds: number[] } {
  const byteStarts: number[] = [];
  const byteEnds: number[] = [];
  let unit = 0;
  for (const character of word) {
    for (let i = utf8Length(character.codePointAt(0) as number); i > 0; i--) {
      byteStarts.push(unit);
      byteEnds.push(unit + character.length);
    }
    unit += character.length;
  }
  return { byteStarts, byteEnds };
}

function cachedMerger(vocabulary: Vocabulary): (word: string) => MergedWord {
  const encoder = new TextEncoder();
  const cache = new Map<string, MergedWord>();
  return (word) => {
    const known = cache.get(word);
    if (known !== undefined) return known;
    const merged = { ...mergeWord(vocabulary, encoder.encode(word)), ...charactersOfBytes(word) };
    if (word.length <= LONGEST_CACHED) {
      if (cache.size >= CACHED_WORDS) cache.clear();
      cache.set(word, merged);
    }
    return merged;
  };
}

/** The tokens of one word, which starts at `at` in the normalised text. */
function wordTokens(text: NormalizedText, at: number, word: MergedWord, vocabulary: Vocabulary): Token[] {
  return word.ids.map((id, i) => {
    const first = word.byteStarts[i === 0 ? 0 : word.ends[i - 1]];
    const last = word.byteEnds[word.ends[i] - 1] - 1;
    return {
      id,
      text: vocabulary.textOf(id) as string,
      start: text.starts[at + first],
      end: text.ends[at + last],
      special: false,
    };
  });
}

/** How added tokens are spelled in the text as given, and how in the normalised one. */
export function spellings(added: readonly AddedToken[]): { raw: Spelling[]; normalized: Spelling[] } {
  const raw = added.filter((token) => !token.normalized);
  const normalized = added.filter((token) => token.normalized);
  return {
    raw: raw.map((token) => ({ text: token.content, token })),
    normalized: normalized.map((token) => ({ text: normalize(token.content).text, token })),
  };
}

function addedAsToken({ id, content, special }: AddedToken, start: number, end: number): Token {
  return { id, text: content, start, end, special };
}

/** The function that cuts texts into tokens: added tokens first, then words, then byte pairs.
 * @source tokenizers Tokenizer::encode */
export function textTokenizer(vocabulary: Vocabulary, added: readonly AddedToken[]): (text: string) => Token[] {
  const merge = cachedMerger(vocabulary);
  const { raw, normalized } = spellings(added);
  const tokensBetween = (piece: NormalizedText, from: number, to: number): Token[] =>
    splitWords(piece.text.slice(from, to)).flatMap(([start, end]) =>
      wordTokens(piece, from + start, merge(piece.text.slice(from + start, from + end)), vocabulary),
    );
  return (text) =>
    splitAtTokens(text, raw).flatMap((part) => {
      if (part.added !== undefined) return [addedAsToken(part.added, part.start, part.end)];
      const piece = normalize(text, part.start, part.end);
      return splitAtTokens(piece.text, normalized).flatMap(({ start, end, added: token }) =>
        token === undefined
          ? tokensBetween(piece, start, end)
          : [addedAsToken(token, piece.starts[start], piece.ends[end - 1])],
      );
    });
}
