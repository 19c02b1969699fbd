import { type Merges, pairRanks } from './pair-table.ts';

/** Marks the last piece of a word. */
export const END_OF_WORD = '</w>';
export const START_TOKEN = '<|startoftext|>';
export const END_TOKEN = '<|endoftext|>';

export const BYTES = 256;

/** Tokens by number and by text. */
export interface TokenList {
  readonly size: number;
  /** A token's text in the vocabulary's spelling, such as `hello</w>`; undefined for an id that it has not. */
  textOf(id: number): string | undefined;
  idOf(text: string): number | undefined;
}

/** The tokens of a byte-level vocabulary and the merges that make them. */
export interface Vocabulary extends TokenList {
  /** The id of each byte inside a word, -1 where the vocabulary lacks it. */
  readonly byteIds: Int32Array;
  /** The id of each byte at a word's end. */
  readonly lastByteIds: Int32Array;
  readonly unknownId: number;
  readonly merges: Merges;
  /** How early two neighbours merge, -1 where they never do. */
  rankOf(left: number, right: number): number;
}

/** The printable stand-in for each byte: itself where printable, else a character from U+0100 on.
 * @source openai/CLIP bytes_to_unicode */
export function byteCharacters(): string[] {
  const characters = new Array<string>(BYTES);
  let next = BYTES;
  for (let byte = 0; byte < BYTES; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    characters[byte] = String.fromCharCode(printable ? byte : next++);
  }
  return characters;
}

/** Tokens as a file lists them. */
export function listedTokens(ids: ReadonlyMap<string, number>): TokenList {
  let size = 0;
  for (const id of ids.values()) size = Math.max(size, id + 1);
  const texts = new Array<string | undefined>(size);
  for (const [text, id] of ids) texts[id] = text;
  return { size, textOf: (id) => texts[id], idOf: (text) => ids.get(text) };
}

/** A vocabulary from its tokens and its merges. @throws when the unknown token is not among the tokens */
export function buildVocabulary(tokens: TokenList, merges: Merges, unknownToken: string): Vocabulary {
  const unknownId = tokens.idOf(unknownToken);
  if (unknownId === undefined) {
    throw new Error(
      `tokenizer: the unknown token is in the vocabulary; "${unknownToken}" is not; give a vocabulary that has it`,
    );
  }
  const byteIdsWith = (suffix: string): Int32Array =>
    Int32Array.from(byteCharacters(), (character) => tokens.idOf(character + suffix) ?? -1);
  return {
    ...tokens,
    byteIds: byteIdsWith(''),
    lastByteIds: byteIdsWith(END_OF_WORD),
    unknownId,
    merges,
    rankOf: pairRanks(merges),
  };
}
