import { mergeCount, mergePlanes } from './merges.generated.ts';
import type { Merges } from './pair-table.ts';
import {
  BYTES,
  buildVocabulary,
  byteCharacters,
  END_OF_WORD,
  END_TOKEN,
  START_TOKEN,
  type TokenList,
  type Vocabulary,
} from './vocabulary.ts';

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
