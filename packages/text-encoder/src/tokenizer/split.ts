import { flagsOf, LETTER, NUMBER, SPACE, unitsOf } from './unicode.ts';

const APOSTROPHE = 0x27;
const LESS_THAN = 0x3c;
const CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
/** The pattern knows these two spellings whatever the special tokens are; a second pattern then cuts them in three. */
const LITERALS = ['<|startoftext|>', '<|endoftext|>'];

/** The end of the run, from `i`, of characters whose kind is `kind`; 0 is what is no letter, number or space. */
function runEnd(text: string, i: number, kind: number): number {
  while (i < text.length) {
    const point = text.codePointAt(i) as number;
    if ((flagsOf(point) & (LETTER | NUMBER | SPACE)) !== kind) break;
    i += unitsOf(point);
  }
  return i;
}

/** Cuts a normalised text into the words that byte pairs are merged in: contractions, runs of letters, single numbers,
 * runs of other signs. Spaces are dropped. Returns start and end of each, in UTF-16 units.
 * @source transformers CLIPTokenizer: its Split pattern, then ByteLevel's */
export function splitWords(text: string): [start: number, end: number][] {
  const words: [number, number][] = [];
  for (let i = 0; i < text.length; ) {
    const point = text.codePointAt(i) as number;
    const kind = flagsOf(point) & (LETTER | NUMBER | SPACE);
    const fixed = point === APOSTROPHE ? CONTRACTIONS : point === LESS_THAN ? LITERALS : [];
    const found = fixed.find((part) => text.startsWith(part, i));
    let end: number;
    if (found !== undefined && point === LESS_THAN) {
      end = i + found.length;
      words.push([i, i + 2], [i + 2, end - 2], [end - 2, end]);
    } else {
      if (found !== undefined) end = i + found.length;
      else if (kind === NUMBER) end = i + unitsOf(point);
      else end = runEnd(text, i, kind);
      if (kind !== SPACE) words.push([i, end]);
    }
    i = end;
  }
  return words;
}
