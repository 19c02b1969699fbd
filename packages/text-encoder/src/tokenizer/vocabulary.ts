import { mergeCount, mergePlanes } from './merges.generated.ts';
import { type Merges, pairRanks } from './pair-table.ts';

/** Marks the last piece of a word. */
export const END_OF_WORD = '</w>';
export const START_TOKEN = '<|startoftext|>';
export const END_TOKEN = '<|endoftext|>';

const BYTES = 256;

/** Tokens by number and by text. */
interface TokenList {
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

/** Bytes in the order in which the vocabulary lists them: printable ones first. */
function byteOrder(characters: readonly string[]): number[] {
  const bytes = characters.map((_, byte) => byte);
  return bytes.sort((a, b) => characters[a].charCodeAt(0) - characters[b].charCodeAt(0));
}

function decodePlanes(): Merges {
  const text = atob(mergePlanes);
  const half = (plane: number): Uint16Array => {
    const ids = new Uint16Array(mergeCount);
    const low = plane * mergeCount;
    const high = low + mergeCount;
    for (let i = 0; i < mergeCount; i++) ids[i] = text.charCodeAt(low + i) | (text.charCodeAt(high + i) << 8);
    return ids;
  };
  const made = new Int32Array(mergeCount);
  for (let rank = 0; rank < mergeCount; rank++) made[rank] = 2 * BYTES + rank;
  return { left: half(0), right: half(2), made };
}

/** The shipped tokens. Their texts are put together when they are asked for, which encoding does for a few alone. */
function shippedTokens({ left, right }: Merges): TokenList {
  const characters = byteCharacters();
  const bytes = byteOrder(characters).map((byte) => characters[byte]);
  const texts: (string | undefined)[] = [...bytes, ...bytes.map((character) => character + END_OF_WORD)];
  const first = texts.length;
  const size = first + mergeCount + 2;
  const known = new Map<string, number>((texts as string[]).map((text, id) => [text, id]));
  for (const [i, text] of [START_TOKEN, END_TOKEN].entries()) {
    texts[size - 2 + i] = text;
    known.set(text, size - 2 + i);
  }
  const textOf = (id: number): string | undefined => {
    if (texts[id] === undefined && id >= first && id < size) {
      texts[id] = `${textOf(left[id - first])}${textOf(right[id - first])}`;
    }
    return texts[id];
  };
  let all: ReadonlyMap<string, number> | undefined;
  const idOf = (text: string): number | undefined => {
    all ??= new Map(Array.from({ length: size }, (_, id) => [textOf(id) as string, id]));
    return all.get(text);
  };
  return { size, textOf, idOf: (text) => known.get(text) ?? idOf(text) };
}

let shipped: Vocabulary | undefined;

/** The vocabulary that CLIP and Stable Diffusion share, 49,408 tokens, decoded at the first call.
 * @source openai/CLIP bpe_simple_vocab_16e6 */
export function clipVocabulary(): Vocabulary {
  shipped ??= readShipped();
  return shipped;
}

function readShipped(): Vocabulary {
  const merges = decodePlanes();
  return buildVocabulary(shippedTokens(merges), merges, END_TOKEN);
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

/** A vocabulary as the two files that other libraries read, `vocab.json` and `merges.txt`; default CLIP's own.
 * @source transformers CLIPTokenizer */
export function vocabularyFiles(vocabulary: Vocabulary = clipVocabulary()): {
  'vocab.json': string;
  'merges.txt': string;
} {
  const tokens: string[] = [];
  for (let id = 0; id < vocabulary.size; id++) {
    const text = vocabulary.textOf(id);
    if (text !== undefined) tokens.push(`${JSON.stringify(text)}: ${id}`);
  }
  const { left, right } = vocabulary.merges;
  const lines = Array.from(left, (id, rank) => `${vocabulary.textOf(id)} ${vocabulary.textOf(right[rank])}\n`);
  return { 'vocab.json': `{${tokens.join(', ')}}`, 'merges.txt': `#version: 0.2\n${lines.join('')}` };
}
