import { mergeCount, mergePlanes } from './merges.generated.ts';

/** Marks the last piece of a word. */
export const END_OF_WORD = '</w>';
export const START_TOKEN = '<|startoftext|>';
export const END_TOKEN = '<|endoftext|>';

const BYTES = 256;

/** Merges in order: two ids and the id that they make. */
export interface Merges {
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly made: ArrayLike<number>;
}

/** The tokens of a byte-level vocabulary and the merges that make them. */
export interface Vocabulary {
  readonly size: number;
  /** The id of each byte inside a word, -1 where the vocabulary lacks it. */
  readonly byteIds: Int32Array;
  /** The id of each byte at a word's end. */
  readonly lastByteIds: Int32Array;
  readonly unknownId: number;
  readonly merges: Merges;
  /** How early two neighbours merge, or undefined where they never do. */
  rankOf(left: number, right: number): number | undefined;
  /** A token's text in the vocabulary's spelling, such as `hello</w>`; undefined for an id that it has not. */
  textOf(id: number): string | undefined;
  idOf(text: string): number | undefined;
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

function decodePlanes(): { left: Uint16Array; right: Uint16Array } {
  const text = atob(mergePlanes);
  const plane = (index: number, i: number): number => text.charCodeAt(index * mergeCount + i);
  const half = (index: number): Uint16Array =>
    Uint16Array.from({ length: mergeCount }, (_, i) => plane(index, i) | (plane(index + 1, i) << 8));
  return { left: half(0), right: half(2) };
}

let shipped: Vocabulary | undefined;

/** The vocabulary that CLIP and Stable Diffusion share, 49,408 tokens, decoded at the first call.
 * @source openai/CLIP bpe_simple_vocab_16e6 */
export function clipVocabulary(): Vocabulary {
  shipped ??= readShipped();
  return shipped;
}

function readShipped(): Vocabulary {
  const characters = byteCharacters();
  const order = byteOrder(characters);
  const tokens = order.map((byte) => characters[byte]);
  tokens.push(...tokens.map((token) => token + END_OF_WORD));
  const { left, right } = decodePlanes();
  for (let rank = 0; rank < mergeCount; rank++) tokens.push(tokens[left[rank]] + tokens[right[rank]]);
  tokens.push(START_TOKEN, END_TOKEN);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const made = Int32Array.from(left, (_, rank) => 2 * BYTES + rank);
  return buildVocabulary(ids, { left, right, made }, END_TOKEN);
}

/** A vocabulary from its tokens and its merges. @throws when the unknown token is not among the tokens */
export function buildVocabulary(ids: ReadonlyMap<string, number>, merges: Merges, unknownToken: string): Vocabulary {
  let size = 0;
  for (const id of ids.values()) size = Math.max(size, id + 1);
  const texts = new Array<string | undefined>(size);
  for (const [text, id] of ids) texts[id] = text;
  const ranks = new Map<number, number>();
  for (let rank = 0; rank < merges.made.length; rank++) {
    ranks.set(merges.left[rank] * size + merges.right[rank], rank);
  }
  const unknownId = ids.get(unknownToken);
  if (unknownId === undefined) {
    throw new Error(
      `tokenizer: the unknown token is in the vocabulary; "${unknownToken}" is not; give a vocabulary that has it`,
    );
  }
  const byteIdsWith = (suffix: string): Int32Array =>
    Int32Array.from(byteCharacters(), (character) => ids.get(character + suffix) ?? -1);
  return {
    size,
    byteIds: byteIdsWith(''),
    lastByteIds: byteIdsWith(END_OF_WORD),
    unknownId,
    merges,
    rankOf: (left, right) => ranks.get(left * size + right),
    textOf: (id) => texts[id],
    idOf: (text) => ids.get(text),
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
