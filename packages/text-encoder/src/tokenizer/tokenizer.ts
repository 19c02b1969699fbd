import type { AddedToken } from './added-tokens.ts';
import { type BatchOptions, batchRows, type Side, type TokenBatch } from './batch.ts';
import { type DecodeOptions, textDecoder } from './decode.ts';
import { type Token, textTokenizer } from './text-tokens.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface Tokenizer {
  /** How many ids there are, added tokens included. */
  readonly size: number;
  readonly startTokenId: number;
  readonly endTokenId: number;
  readonly padTokenId: number;
  /** How long a row may be; undefined where the tokenizer's files set no limit. */
  readonly maxLength: number | undefined;
  /** The tokens of a text, without markers. A lone surrogate counts as U+FFFD. */
  tokenize(text: string): Token[];
  /** The ids of a text between the two markers, however long. */
  encode(text: string): number[];
  /** Rows of equal length. @throws when a row is too long and may not be cut, or there is no length to pad to */
  encodeBatch(texts: readonly string[], options?: BatchOptions): TokenBatch;
  /** The text of ids, lower case and with a space after each word. @throws on an id that there is not */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** A token as the vocabulary spells it. */
  textOf(id: number): string | undefined;
  idOf(text: string): number | undefined;
}

export interface TokenizerParts {
  readonly vocabulary: Vocabulary;
  readonly added: readonly AddedToken[];
  readonly startToken: string;
  readonly endToken: string;
  readonly padToken: string;
  readonly maxLength?: number;
  readonly paddingSide?: Side;
  readonly truncationSide?: Side;
}

/** A tokenizer from its parts; createTokenizer and tokenizerFromFiles supply them.
 * @throws when a marker or the padding token is not in the vocabulary */
export function buildTokenizer(parts: TokenizerParts): Tokenizer {
  const { vocabulary, added, maxLength, paddingSide, truncationSide } = parts;
  const contents = new Map(added.map(({ id, content }) => [id, content]));
  const addedIds = new Map(added.map(({ id, content }) => [content, id]));
  const idOf = (text: string): number | undefined => addedIds.get(text) ?? vocabulary.idOf(text);
  const required = (role: string, text: string): { id: number; text: string } => {
    const id = idOf(text);
    if (id !== undefined) return { id, text };
    throw new Error(`tokenizer: the ${role} token is in the vocabulary; "${text}" is not; name one that is`);
  };
  const start = required('start', parts.startToken);
  const end = required('end', parts.endToken);
  const padId = required('padding', parts.padToken).id;
  const tokenize = textTokenizer(vocabulary, added);
  const framing = { start, end, padId, maxLength, paddingSide, truncationSide };
  return {
    size: added.reduce((size, { id }) => Math.max(size, id + 1), vocabulary.size),
    startTokenId: start.id,
    endTokenId: end.id,
    padTokenId: padId,
    maxLength,
    tokenize,
    encode: (text) => [start.id, ...tokenize(text).map(({ id }) => id), end.id],
    encodeBatch: (texts, options) => batchRows(tokenize, framing, texts, options),
    decode: textDecoder(vocabulary, added),
    textOf: (id) => contents.get(id) ?? vocabulary.textOf(id),
    idOf,
  };
}

/** Which tokens stand for a part of the text, in UTF-16 units: the positions in the row of those that touch
 * [start, end). A word's tokens in an attention map are found with this. */
export function tokenPositions(tokens: readonly Token[], start: number, end: number): number[] {
  const touches = (token: Token): boolean => token.start < token.end && token.start < end && token.end > start;
  return tokens.flatMap((token, i) => (touches(token) ? [i] : []));
}
