import type { AddedToken } from './added-tokens.ts';
import { spellings } from './text-tokens.ts';
import { flagsOf, SPACE } from './unicode.ts';
import { byteCharacters, END_OF_WORD, type Vocabulary } from './vocabulary.ts';

export interface DecodeOptions {
  /** Whether markers and padding are left out. Default false. */
  skipSpecialTokens?: boolean;
}

/** What Python's str.strip takes off: white space, and four control characters that are none to regular expressions. */
function isStripped(unit: number): boolean {
  return (flagsOf(unit) & SPACE) !== 0 || (unit >= 0x1c && unit <= 0x1f);
}

function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isStripped(text.charCodeAt(start))) start++;
  while (end > start && isStripped(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** The function that turns ids back into text. @source tokenizers ByteLevel decoder; transformers CLIPTokenizer */
export function textDecoder(
  vocabulary: Vocabulary,
  added: readonly AddedToken[],
): (ids: Iterable<number>, options?: DecodeOptions) => string {
  const { raw, normalized } = spellings(added);
  const addedTexts = new Map([...raw, ...normalized].map(({ text, token }) => [token.id, text]));
  const special = new Set(added.filter((token) => token.special).map((token) => token.content));
  const byteOf = new Map(byteCharacters().map((character, byte) => [character, byte]));
  const encoder = new TextEncoder();
  const bytesOf = (text: string): ArrayLike<number> => {
    const bytes = Array.from(text, (character) => byteOf.get(character) ?? -1);
    return bytes.includes(-1) ? encoder.encode(text) : bytes;
  };
  return (ids, { skipSpecialTokens = false } = {}) => {
    const bytes: number[] = [];
    for (const id of ids) {
      const text = addedTexts.get(id) ?? vocabulary.textOf(id);
      if (text === undefined) {
        throw new Error(
          `tokenizer.decode: an id is of the vocabulary; got ${id}; decode with the tokenizer that made it`,
        );
      }
      if (!skipSpecialTokens || !special.has(text)) for (const byte of Array.from(bytesOf(text))) bytes.push(byte);
    }
    // Bytes that are no UTF-8, as half an emoji's are, become U+FFFD.
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return strip(text.replaceAll(END_OF_WORD, ' '));
  };
}
